# Our own compiled parts, and where everything lands in the wheel.
set(NATIVE_DIR ${CMAKE_CURRENT_SOURCE_DIR}/../llamactl/native)
set(FFI_BUILD ${CMAKE_CURRENT_SOURCE_DIR}/../ffi_build.py)

file(GLOB NATIVE_HEADERS CONFIGURE_DEPENDS ${NATIVE_DIR}/*/*.h)
set(OUR_WARNINGS -Wall -Wextra -Wshadow $<$<BOOL:${LLAMACTL_STRICT}>:-Werror>)

# llamactl_cffi_module(NAME PACKAGE SOURCES…): one CFFI module in API mode, of sources in native/, installed into the
# package. FFI_BUILD cuts its declarations from headers.
function(llamactl_cffi_module name package)
  list(TRANSFORM ARGN PREPEND ${NATIVE_DIR}/ OUTPUT_VARIABLE sources)
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  add_custom_command(
    OUTPUT ${generated}
    COMMAND ${Python_EXECUTABLE} -m cffi.gen_src exec-python
            --ffi-var=${name} ${FFI_BUILD} ${generated}
    DEPENDS ${FFI_BUILD} ${NATIVE_HEADERS}
    VERBATIM)
  python_add_library(_${name} MODULE USE_SABI 3.10 WITH_SOABI ${generated} ${sources})
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${OUR_WARNINGS}")
  target_include_directories(_${name} PRIVATE ${NATIVE_DIR})
  target_compile_definitions(_${name} PRIVATE
    LLAMACTL_VERSION="${SKBUILD_PROJECT_VERSION}" ENGINE_COMMIT="${ENGINE_COMMIT}")
  set_target_properties(_${name} PROPERTIES INSTALL_RPATH $ORIGIN/../lib CXX_STANDARD 17)
  if(LLAMACTL_SANITIZE)
    target_compile_options(_${name} PRIVATE -fsanitize=address,undefined -fno-omit-frame-pointer -g)
    target_link_options(_${name} PRIVATE -fsanitize=address,undefined)
  endif()
  install(TARGETS _${name} LIBRARY DESTINATION llamactl/${package} COMPONENT llamactl)
endfunction()

llamactl_cffi_module(gguf snapshot snapshot/gguf.c)
llamactl_cffi_module(kernel process snapshot/kernel.c snapshot/kernel_probe.c)
llamactl_cffi_module(proc process snapshot/proc.c snapshot/asking.c)
llamactl_cffi_module(tracer trace
  common/frames.c common/memory.c common/sink.c common/tasks.c common/texts.c
  calls/point_rows.c calls/points.c calls/probe_loop.c calls/table.c
  perf/api.c perf/calls.c perf/event.c perf/open.c perf/ring.c perf/watch.c
  bpf/btf.c bpf/load.c bpf/programs.c bpf/ring.c bpf/texts.c
  breakpoint/breakpoint.c breakpoint/buffers.c breakpoint/hit.c breakpoint/look.c breakpoint/registers.c
  breakpoint/set.c breakpoint/slot.c
  ptrace/attach.c ptrace/awake.c ptrace/launch.c ptrace/loop.c ptrace/record.c ptrace/requests.c ptrace/tracer.c
  ptrace/world.c)
llamactl_cffi_module(bench bench bench/counters.c bench/cache.c)

if(LLAMACTL_ENGINE)
  include(common.cmake)
  llamactl_cffi_module(engine engine
    engine/guard.cpp engine/memory.cpp engine/rpc.c engine/layout.c
    engine/common_answer.cpp engine/common_defaults.cpp engine/common_log.cpp engine/common_sampler.cpp
    engine/common_fit.cpp engine/threadpool.c)
  # Their headers' warnings aren't ours.
  foreach(target llamactl_common llama ggml ggml-base)
    target_include_directories(_engine SYSTEM PRIVATE $<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
  target_include_directories(_engine SYSTEM PRIVATE ${engine_SOURCE_DIR}/src)
  target_link_libraries(_engine PRIVATE llamactl_common llama ggml)
  target_link_options(_engine PRIVATE -Wl,--gc-sections)
  install(TARGETS llama ggml ggml-base ${GGML_AVAILABLE_BACKENDS}
    LIBRARY DESTINATION llamactl/lib COMPONENT llamactl)
  include(licenses.cmake)
endif()

include(agent.cmake)
