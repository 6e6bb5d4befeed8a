"""exchange_buffers.py embed|state MODEL TIMES: embeddings, or saved and restored states, with llama-cpp-python."""

from __future__ import annotations

import json
import sys

from llama_cpp import Llama, llama_cpp

WAY, MODEL, TIMES = sys.argv[1], sys.argv[2], int(sys.argv[3])
llama = Llama(
    MODEL,
    n_ctx=256,
    n_threads=1,
    n_threads_batch=1,
    verbose=False,
    embedding=WAY == "embed",
    logits_all=False,
)
if WAY == "embed":
    rows = [llama.embed(f"text number {number}") for number in range(TIMES)]
    print(json.dumps({"sizes": sorted({len(row) for row in rows}), "width": llama.n_embd()}))
else:
    llama.eval([llama.token_bos()])
    saved = [llama.save_state() for _ in range(TIMES)]
    llama.load_state(saved[-1])
    size = llama_cpp.llama_state_get_size(llama.ctx)
    print(json.dumps({"size": size, "saved": sorted({state.llama_state_size for state in saved})}))
