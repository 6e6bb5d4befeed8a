# llama.cpp's own programs, linked to the very libraries that llamactl uses.
add_subdirectory(${engine_SOURCE_DIR}/vendor/cpp-httplib ${CMAKE_BINARY_DIR}/peers/httplib EXCLUDE_FROM_ALL)
add_subdirectory(${engine_SOURCE_DIR}/common ${CMAKE_BINARY_DIR}/peers/common EXCLUDE_FROM_ALL)
add_subdirectory(${engine_SOURCE_DIR}/tools/llama-bench ${CMAKE_BINARY_DIR}/peers/bench EXCLUDE_FROM_ALL)
add_subdirectory(${engine_SOURCE_DIR}/tools/completion ${CMAKE_BINARY_DIR}/peers/completion EXCLUDE_FROM_ALL)
add_custom_target(peers DEPENDS llama-bench llama-completion)
