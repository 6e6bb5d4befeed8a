import sys

import numpy as np
from llama_cpp import Llama, llama_cpp

how, n = sys.argv[1], int(sys.argv[2])
llama = Llama("model.gguf", n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)
size = llama.n_vocab()
token = llama.token_bos()
for _ in range(n):
    llama.eval([token])
    row = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
    if how == "list":
        values = row[:size]
        token = max(range(size), key=values.__getitem__)
    elif how == "copy":
        values = np.array(np.ctypeslib.as_array(row, (size,)))
        token = int(values.argmax())
    else:
        token = int(np.ctypeslib.as_array(row, (size,)).argmax())
