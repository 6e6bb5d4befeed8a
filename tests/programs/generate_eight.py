"""generate_eight.py MODEL THREADS: eight tokens with llama-cpp-python, the same every time."""

import sys

import llama_cpp

threads = int(sys.argv[2])
model = llama_cpp.Llama(sys.argv[1], n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
print(model("Hello", max_tokens=8, temperature=0)["choices"][0]["text"])
