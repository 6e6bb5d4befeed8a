# The licences of what is compiled go into the wheel, beside the libraries.
set(licenses ${CMAKE_CURRENT_BINARY_DIR}/licenses)
configure_file(${engine_SOURCE_DIR}/LICENSE ${licenses}/LICENSE-llama.cpp-ggml COPYONLY)
configure_file(${engine_SOURCE_DIR}/licenses/LICENSE-jsonhpp ${licenses}/LICENSE-nlohmann-json COPYONLY)

# Compiled into the CPU backend, with a licence of its own: the comment it begins with.
file(READ ${engine_SOURCE_DIR}/ggml/src/ggml-cpu/llamafile/sgemm.cpp sgemm LIMIT 4000)
string(REGEX MATCH "^(//[^\n]*\n)+" notice "${sgemm}")
if(NOT notice MATCHES "Copyright.*Permission is hereby granted.*SOFTWARE")
  message(FATAL_ERROR "llamafile's sgemm.cpp no longer begins with its licence: put it into llama.cpp/licenses.cmake")
endif()
string(REGEX REPLACE "(^|\n)// ?" "\\1" notice "${notice}")
file(WRITE ${licenses}/LICENSE-llamafile-sgemm "${notice}")

install(DIRECTORY ${licenses} DESTINATION llamactl/lib COMPONENT llamactl)
