"""Generate with llama-cpp-python as its users do, all layers on the device.

usage: python generate.py MODEL TOKENS [LAYERS [CONTEXT]]

Prints "ready" when it is done and waits for the end of its input before it goes.
"""

from __future__ import annotations

import sys

from llama_cpp import Llama

model, count = sys.argv[1], int(sys.argv[2])
layers = int(sys.argv[3]) if len(sys.argv) > 3 else -1
context = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
llama = Llama(model_path=model, n_gpu_layers=layers, n_ctx=context, verbose=False)
made = 0
for _token in llama.generate(llama.tokenize(b"Once upon a time there was " * 20), temp=0.0):
    made += 1
    if made == count:
        break
print(f"ready: {made} tokens", flush=True)
sys.stdin.read()
llama.close()
