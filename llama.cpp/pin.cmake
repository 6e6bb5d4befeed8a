# What the archive named in requirements.txt contains. Change the four together (see README.md).
set(ENGINE_ARCHIVE llama_cpp_python-0.3.36.tar.gz)
set(ENGINE_SHA256 832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e)
set(ENGINE_COMMIT 0c1e57098)
set(ENGINE_SUBDIR vendor/llama.cpp)
