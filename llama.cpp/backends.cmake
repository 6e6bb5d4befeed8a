# GPU backends as libraries of their own beside the engine, as ggml's GGML_BACKEND_DL builds them. The CPU's backend
# stays linked, so starting up costs nothing; llamactl loads these when a device is asked for (engine/backends.py).
set(LLAMACTL_BACKENDS "" CACHE STRING "GPU backends to build beside the CPU's: cuda, hip, vulkan; with ; between")

function(llamactl_add_backend name)
  set(GGML_BACKEND_DL ON)
  set(CMAKE_CXX_STANDARD 17)
  # Only names of versioned files are made of it, and there are none here.
  set(GGML_VERSION 0)
  set(GGML_VERSION_MAJOR 0)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/backends)
  add_compile_definitions(_GNU_SOURCE)
  add_subdirectory(${engine_SOURCE_DIR}/ggml/src/ggml-${name} ${CMAKE_BINARY_DIR}/backends/${name})
  install(TARGETS ggml-${name} LIBRARY DESTINATION llamactl/lib COMPONENT llamactl)
endfunction()

foreach(backend IN LISTS LLAMACTL_BACKENDS)
  llamactl_add_backend(${backend})
endforeach()
