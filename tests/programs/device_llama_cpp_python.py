"""Generate with llama-cpp-python on a device whose backend is a library of its own: MODEL LAYERS TOKENS."""

import ctypes
import os
import sys

import llama_cpp

backend = os.environ["GGML_BACKEND_PATH"]
ggml = ctypes.CDLL(os.path.join(os.environ["LLAMA_CPP_LIB_PATH"], "libggml.so"))
ggml.ggml_backend_load.restype = ctypes.c_void_p
assert ggml.ggml_backend_load(backend.encode()), backend
llm = llama_cpp.Llama(sys.argv[1], n_gpu_layers=int(sys.argv[2]), n_ctx=256, verbose=True)
print(llm("The capital of France is", max_tokens=int(sys.argv[3]), temperature=0.0)["choices"][0]["text"])
