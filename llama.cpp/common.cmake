# llama.cpp's own library for its programs, `common`: the parts that decide what goes into the engine (templates,
# samplers, schemas, defaults, fitting), compiled into our module. Nothing of it that uses the network.
set(common ${engine_SOURCE_DIR}/common)
include(${common}/parsers/sources.cmake)
list(FILTER LLAMA_CHAT_PARSERS_SOURCES INCLUDE REGEX "[.]cpp$")

set(chat_sources chat-auto-parser-generator chat-auto-parser-helpers chat-diff-analyzer chat-peg-parser)
set(schema_sources json-schema json-schema-to-grammar trie unicode)
set(single_sources fit json peg-parser reasoning-budget sampling jinja/caps jinja/lexer jinja/parser
  jinja/runtime jinja/string jinja/value)
foreach(group chat schema single)
  list(TRANSFORM ${group}_sources PREPEND ${common}/)
  list(TRANSFORM ${group}_sources APPEND .cpp)
endforeach()

configure_file(${common}/build-info.cpp.in ${CMAKE_CURRENT_BINARY_DIR}/common-build-info.cpp)
add_library(llamactl_common STATIC ${chat_sources} ${schema_sources} ${single_sources}
  ${LLAMA_CHAT_PARSERS_SOURCES} ${NATIVE_DIR}/engine/common_whole.cpp
  ${NATIVE_DIR}/engine/common_chat.cpp ${CMAKE_CURRENT_BINARY_DIR}/common-build-info.cpp)
target_include_directories(llamactl_common PUBLIC ${NATIVE_DIR} ${common} ${engine_SOURCE_DIR}/vendor ${engine_SOURCE_DIR}/src)
target_link_libraries(llamactl_common PUBLIC llama ggml)
set_target_properties(llamactl_common PROPERTIES
  CXX_STANDARD 17 CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON EXCLUDE_FROM_ALL ON
  UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
# It runs once a run and is large: -O1 and few units halve the time to compile and its size. What runs for every
# token is optimised.
target_compile_options(llamactl_common PRIVATE -O1 -w -ffunction-sections -fdata-sections)
set_source_files_properties(${common}/sampling.cpp ${common}/reasoning-budget.cpp PROPERTIES COMPILE_OPTIONS -O3)
set_source_files_properties(${chat_sources} ${NATIVE_DIR}/engine/common_chat.cpp PROPERTIES UNITY_GROUP chat)
set_source_files_properties(${schema_sources} PROPERTIES UNITY_GROUP schema)
set_source_files_properties(${LLAMA_CHAT_PARSERS_SOURCES} PROPERTIES UNITY_GROUP parsers)
