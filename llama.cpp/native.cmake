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
  install(TARGETS _${name} LIBRARY DESTINATION llamactl/${room} COMPONENT llamactl)
endfunction()

llamactl_cffi_module(engine engine ${NATIVE_DIR}/engine_guard.cpp ${NATIVE_DIR}/engine_memory.cpp)
target_include_directories(_engine PRIVATE ${engine_SOURCE_DIR}/src)
target_link_libraries(_engine PRIVATE llama ggml)

file(GLOB tracer_sources CONFIGURE_DEPENDS ${NATIVE_DIR}/tracer*.c ${NATIVE_DIR}/perf*.c
  ${NATIVE_DIR}/boundary*.c ${NATIVE_DIR}/breakpoint*.c)
list(APPEND tracer_sources ${NATIVE_DIR}/agent_table.c)
llamactl_cffi_module(tracer trace ${tracer_sources})

install(TARGETS llama ggml ggml-base ${GGML_AVAILABLE_BACKENDS}
  LIBRARY DESTINATION llamactl/lib COMPONENT llamactl)

# The agent: a plain library for LD_AUDIT. The dynamic linker gives it a namespace of its own, so it brings
# no libc; general registers only, so that a hook never touches a caller's floating-point arguments.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|aarch64|arm64)$")
  enable_language(ASM)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(agent_assembly agent_aarch64.S)
    set(agent_options -mno-outline-atomics)
  else()
    set(agent_assembly agent_x86_64.S)
  endif()
  set(agent_sources agent.c agent_call.c agent_elf.c agent_gil.c agent_ring.c agent_table.c agent_thread.c)
  list(TRANSFORM agent_sources PREPEND ${NATIVE_DIR}/)
  add_library(llamactl_agent MODULE ${agent_sources} ${NATIVE_DIR}/${agent_assembly})
  set_target_properties(llamactl_agent PROPERTIES
    OUTPUT_NAME llamactl-agent C_STANDARD 11 C_VISIBILITY_PRESET hidden INSTALL_RPATH ""
    INTERPROCEDURAL_OPTIMIZATION OFF)
  target_compile_definitions(llamactl_agent PRIVATE _GNU_SOURCE)
  target_compile_options(llamactl_agent PRIVATE
    $<$<COMPILE_LANGUAGE:C>:-O2 -Wall -Wextra -ffreestanding -fno-stack-protector -mgeneral-regs-only
      -fno-tree-loop-distribute-patterns -fno-sanitize=all -U_FORTIFY_SOURCE ${agent_options}>)
  target_link_options(llamactl_agent PRIVATE -nostdlib -Wl,-z,now -Wl,-z,noexecstack -Wl,--no-undefined)
  install(TARGETS llamactl_agent LIBRARY DESTINATION llamactl/lib COMPONENT llamactl)
endif()
