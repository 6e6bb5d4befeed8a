# The agent: a plain library for LD_AUDIT. The dynamic linker gives it a namespace of its own, so it brings
# no libc; general registers only, so that a hook never touches a caller's floating-point arguments.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|aarch64|arm64)$")
  enable_language(ASM)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(agent_assembly agent/aarch64.S)
    set(agent_options -mno-outline-atomics)
  else()
    set(agent_assembly agent/x86_64.S)
  endif()
  set(agent_sources
    agent/agent.c agent/buffers.c agent/call.c agent/callback.c agent/clock.c agent/device.c agent/device_got.c agent/device_table.c
    agent/elf.c agent/exec.c agent/gil.c agent/memory.c agent/names.c agent/open.c agent/python.c agent/ring.c
    agent/thread.c agent/watch.c calls/table.c)
  list(TRANSFORM agent_sources PREPEND ${NATIVE_DIR}/)
  add_library(llamactl_agent MODULE ${agent_sources} ${NATIVE_DIR}/${agent_assembly})
  set_target_properties(llamactl_agent PROPERTIES
    OUTPUT_NAME llamactl-agent C_STANDARD 11 C_VISIBILITY_PRESET hidden INSTALL_RPATH ""
    INTERPROCEDURAL_OPTIMIZATION OFF)
  target_compile_definitions(llamactl_agent PRIVATE _GNU_SOURCE)
  target_include_directories(llamactl_agent PRIVATE ${NATIVE_DIR})
  target_compile_options(llamactl_agent PRIVATE
    $<$<COMPILE_LANGUAGE:C>:-O2 -ffreestanding -fno-stack-protector -mgeneral-regs-only
      -fno-tree-loop-distribute-patterns -fno-sanitize=all -U_FORTIFY_SOURCE ${agent_options} ${OUR_WARNINGS}>)
  target_link_options(llamactl_agent PRIVATE -nostdlib -Wl,-z,now -Wl,-z,noexecstack -Wl,--no-undefined)
  install(TARGETS llamactl_agent LIBRARY DESTINATION llamactl/lib COMPONENT llamactl)
endif()
