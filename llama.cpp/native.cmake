# Our own compiled parts, and where everything lands in the wheel.
set(NATIVE_DIR ${CMAKE_CURRENT_SOURCE_DIR}/../llamactl/native)
set(FFI_BUILD ${CMAKE_CURRENT_SOURCE_DIR}/../ffi_build.py)

# llamactl_cffi_module(NAME ROOM SOURCES…): one CFFI module in API mode, installed into its room.
function(llamactl_cffi_module name room)
  set(generated ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
  add_custom_command(
    OUTPUT ${generated}
    COMMAND ${Python_EXECUTABLE} -m cffi.gen_src exec-python
            --ffi-var=${name} ${FFI_BUILD} ${generated}
    DEPENDS ${FFI_BUILD} ${NATIVE_DIR}/${name}.cdef.h
    VERBATIM)
  python_add_library(_${name} MODULE USE_SABI 3.10 WITH_SOABI ${generated} ${ARGN})
  target_include_directories(_${name} PRIVATE ${NATIVE_DIR})
  target_compile_definitions(_${name} PRIVATE
    LLAMACTL_VERSION="${SKBUILD_PROJECT_VERSION}" ENGINE_COMMIT="${ENGINE_COMMIT}")
  set_target_properties(_${name} PROPERTIES INSTALL_RPATH $ORIGIN/../lib CXX_STANDARD 17)
  if(LLAMACTL_SANITIZE)
    target_compile_options(_${name} PRIVATE -fsanitize=address,undefined -fno-omit-frame-pointer -g)
    target_link_options(_${name} PRIVATE -fsanitize=address,undefined)
  endif()
  install(TARGETS _${name} LIBRARY DESTINATION llamactl/${room} COMPONENT llamactl)
endfunction()

llamactl_cffi_module(gguf snapshot ${NATIVE_DIR}/gguf.c)
llamactl_cffi_module(kernel snapshot ${NATIVE_DIR}/kernel.c ${NATIVE_DIR}/kernel_probe.c)
llamactl_cffi_module(proc snapshot ${NATIVE_DIR}/proc.c ${NATIVE_DIR}/asking.c)
llamactl_cffi_module(tracer trace
  ${NATIVE_DIR}/tracer.c ${NATIVE_DIR}/tracer_attach.c ${NATIVE_DIR}/tracer_awake.c ${NATIVE_DIR}/tracer_launch.c
  ${NATIVE_DIR}/tracer_loop.c ${NATIVE_DIR}/tracer_memory.c ${NATIVE_DIR}/tracer_record.c
  ${NATIVE_DIR}/tracer_sink.c ${NATIVE_DIR}/tracer_tasks.c ${NATIVE_DIR}/tracer_texts.c ${NATIVE_DIR}/tracer_world.c
  ${NATIVE_DIR}/tracer_watch.c
  ${NATIVE_DIR}/perf_api.c ${NATIVE_DIR}/perf_event.c ${NATIVE_DIR}/perf_open.c ${NATIVE_DIR}/perf_ring.c
  ${NATIVE_DIR}/perf_boundary.c ${NATIVE_DIR}/perf_watch.c
  ${NATIVE_DIR}/bpf_btf.c ${NATIVE_DIR}/bpf_load.c ${NATIVE_DIR}/bpf_programs.c ${NATIVE_DIR}/bpf_ring.c
  ${NATIVE_DIR}/bpf_texts.c
  ${NATIVE_DIR}/boundary_points.c ${NATIVE_DIR}/boundary_table.c ${NATIVE_DIR}/agent_table.c
  ${NATIVE_DIR}/probe_loop.c
  ${NATIVE_DIR}/breakpoint.c ${NATIVE_DIR}/breakpoint_hit.c ${NATIVE_DIR}/breakpoint_slot.c
  ${NATIVE_DIR}/breakpoint_watch.c ${NATIVE_DIR}/breakpoint_look.c ${NATIVE_DIR}/breakpoint_set.c)
llamactl_cffi_module(bench bench ${NATIVE_DIR}/bench_counters.c ${NATIVE_DIR}/bench_cache.c)

if(LLAMACTL_ENGINE)
  llamactl_cffi_module(engine engine
    ${NATIVE_DIR}/engine_guard.cpp ${NATIVE_DIR}/engine_grammar.cpp ${NATIVE_DIR}/engine_memory.cpp
    ${NATIVE_DIR}/engine_step.c ${NATIVE_DIR}/engine_rpc.c ${NATIVE_DIR}/engine_layout.c)
  target_include_directories(_engine PRIVATE ${engine_SOURCE_DIR}/src)
  target_link_libraries(_engine PRIVATE llama ggml)
  install(TARGETS llama ggml ggml-base ${GGML_AVAILABLE_BACKENDS}
    LIBRARY DESTINATION llamactl/lib COMPONENT llamactl)
  include(licenses.cmake)
endif()

include(agent.cmake)
