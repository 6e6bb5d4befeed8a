import ctypes
import os
import sys
import threading
import time

kind, n = sys.argv[1], int(sys.argv[2])
lib = os.environ["LLAMA_CPP_LIB_PATH"]
from llama_cpp import llama_cpp as types

library = getattr(ctypes, kind)(f"{lib}/libllama.so")
pointer, i32 = ctypes.c_void_p, ctypes.c_int32


def bind(name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


model_params = bind("llama_model_default_params", types.llama_model_params)
context_params = bind("llama_context_default_params", types.llama_context_params)
load = bind("llama_model_load_from_file", pointer, ctypes.c_char_p, types.llama_model_params)
init = bind("llama_init_from_model", pointer, pointer, types.llama_context_params)
batch_one = bind("llama_batch_get_one", types.llama_batch, ctypes.POINTER(i32), i32)
decode = bind("llama_decode", i32, pointer, types.llama_batch)
logits_of = bind("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), pointer, i32)
vocab_of = bind("llama_model_get_vocab", pointer, pointer)
n_vocab = bind("llama_vocab_n_tokens", i32, pointer)
model = load(b"model.gguf", model_params())
params = context_params()
params.n_ctx, params.n_threads, params.n_threads_batch = 256, 1, 1
context = init(model, params)
size = n_vocab(vocab_of(model))
ended = threading.Event()


def tick():
    while not ended.wait(0.005):
        pass


other = threading.Thread(target=tick)
other.start()
token = (i32 * 1)(1)
for _ in range(n):
    assert decode(context, batch_one(token, 1)) == 0
    row = logits_of(context, -1)
    token[0] = max(range(64), key=row.__getitem__)
ended.set()
other.join()
