"""Load a model with llama-cpp-python, generate a little, and wait."""

import sys

import llama_cpp

model = llama_cpp.Llama(sys.argv[1], n_ctx=4096, n_threads=2, verbose=False)
model("Hello", max_tokens=4)
print("ready", flush=True)
sys.stdin.read()
