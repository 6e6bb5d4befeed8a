"""exchange_logits.py list|copy|view MODEL N: N greedy tokens; the logits as a list, a copy, or a view."""

from __future__ import annotations

import sys

import numpy as np
from llama_cpp import Llama, llama_cpp

HOW, MODEL, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
llama = Llama(MODEL, n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)
size = llama.n_vocab()
token = llama.token_bos()
for _ in range(COUNT):
    llama.eval([token])
    row = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
    if HOW == "list":
        values = row[:size]
        token = sorted(range(size), key=values.__getitem__)[-1]
    elif HOW == "copy":
        token = int(np.array(np.ctypeslib.as_array(row, (size,))).argmax())
    else:
        token = int(np.ctypeslib.as_array(row, (size,)).argmax())
    print(token)
