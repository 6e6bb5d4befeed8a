# Brings the engine's source into the build tree: engine_SOURCE_DIR is llama.cpp's root afterwards.
#
# -DFETCHCONTENT_SOURCE_DIR_ENGINE=DIR takes another checkout instead of the pinned archive.
include(FetchContent)
include(${CMAKE_CURRENT_LIST_DIR}/pin.cmake)

function(llamactl_download_engine archive)
  if(EXISTS ${archive})
    file(SHA256 ${archive} found)
    if(found STREQUAL ENGINE_SHA256)
      return()
    endif()
  endif()
  message(STATUS "Fetching llama.cpp ${ENGINE_COMMIT}")
  execute_process(
    COMMAND ${Python_EXECUTABLE} -m pip download --quiet --no-deps --no-binary :all:
            --no-build-isolation --require-hashes --dest ${CMAKE_BINARY_DIR}
            -r ${CMAKE_CURRENT_LIST_DIR}/requirements.txt
    RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "The engine's source can't be fetched. Connect to a package index, "
      "or pass -C cmake.define.FETCHCONTENT_SOURCE_DIR_ENGINE=DIR with a llama.cpp checkout.")
  endif()
endfunction()

# The repository around the build tree must not be taken for llama.cpp's own.
function(llamactl_commit_of source_dir result)
  execute_process(COMMAND git -C ${source_dir} rev-parse --short=9 HEAD
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed OR NOT EXISTS ${source_dir}/.git)
    set(commit unknown)
  endif()
  set(${result} ${commit} PARENT_SCOPE)
endfunction()

if(FETCHCONTENT_SOURCE_DIR_ENGINE)
  llamactl_commit_of(${FETCHCONTENT_SOURCE_DIR_ENGINE} ENGINE_COMMIT)
  FetchContent_Declare(engine SOURCE_DIR ${FETCHCONTENT_SOURCE_DIR_ENGINE} EXCLUDE_FROM_ALL)
else()
  llamactl_download_engine(${CMAKE_BINARY_DIR}/${ENGINE_ARCHIVE})
  FetchContent_Declare(engine
    URL file://${CMAKE_BINARY_DIR}/${ENGINE_ARCHIVE}
    URL_HASH SHA256=${ENGINE_SHA256}
    DOWNLOAD_EXTRACT_TIMESTAMP TRUE
    SOURCE_SUBDIR ${ENGINE_SUBDIR}
    EXCLUDE_FROM_ALL)
endif()

# ggml would ask git and find another repository, or call an unpacked archive dirty.
set(GIT_EXE OFF CACHE STRING "" FORCE)
set(LLAMA_BUILD_COMMIT ${ENGINE_COMMIT})
set(LLAMA_BUILD_NUMBER 0)
FetchContent_MakeAvailable(engine)
if(NOT FETCHCONTENT_SOURCE_DIR_ENGINE)
  string(APPEND engine_SOURCE_DIR /${ENGINE_SUBDIR})
endif()
