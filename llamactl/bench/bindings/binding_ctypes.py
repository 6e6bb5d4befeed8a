"""The loop of llama-cpp-python (ctypes), for another Python: reads and imports nothing of llamactl.

Run as ``python -c SOURCE MODEL THREADS TOKENS``. Each line on stdin asks for one repetition; the answer is a
JSON object of nanoseconds by step.
"""

import ctypes
import json
import os
import sys
from time import perf_counter_ns
from typing import Any


def main() -> None:
    """Load the model and answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import llama_cpp as c
    import numpy as np

    path, n_threads, n_gen = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # Kept alive: C calls it as long as it logs.
    silence = c.llama_log_callback(lambda _level, _text, _data: None)
    c.llama_log_set(silence, None)
    c.llama_backend_init()
    model = c.llama_model_load_from_file(path.encode(), c.llama_model_default_params())
    params = c.llama_context_default_params()
    params.n_ctx = n_gen + 1
    params.n_threads = params.n_threads_batch = n_threads
    context = c.llama_init_from_model(model, params)
    vocab = c.llama_model_get_vocab(model)
    sampler = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
    c.llama_sampler_chain_add(sampler, c.llama_sampler_init_greedy())
    scores = np.empty(c.llama_vocab_n_tokens(vocab), dtype=np.single)
    print(json.dumps({"version": c.__version__}), file=answers, flush=True)
    for _ in sys.stdin:
        found = repetition(c, context, vocab, sampler, n_gen, scores)
        shared = np.shares_memory(scores, row_of(c, context, scores))
        found["copied_bytes"] = 0 if shared else scores.nbytes
        print(json.dumps(found), file=answers, flush=True)


def row_of(c: Any, context: Any, scores: Any) -> Any:
    """Return the engine's row of logits as llama-cpp-python makes an array of it."""
    import numpy as np

    return np.ctypeslib.as_array(c.llama_get_logits(context), shape=scores.shape)


def repetition(c: Any, context: Any, vocab: Any, sampler: Any, n_gen: int, scores: Any) -> dict[str, int]:
    """Generate and return the nanoseconds of each step."""
    c.llama_memory_clear(c.llama_get_memory(context), False)
    token = (c.llama_token * 1)(max(c.llama_vocab_bos(vocab), 0))
    buffer = ctypes.create_string_buffer(256)
    c.llama_decode(context, c.llama_batch_get_one(token, 1))
    c.llama_synchronize(context)
    sample = detokenize = decode = copies = 0
    begin = perf_counter_ns()
    for _ in range(n_gen):
        before = perf_counter_ns()
        chosen = c.llama_sampler_sample(sampler, context, -1)
        sampled = perf_counter_ns()
        length = c.llama_token_to_piece(vocab, chosen, buffer, len(buffer), 0, False)
        buffer.raw[:length].decode("utf-8", "replace")
        shown = perf_counter_ns()
        token[0] = chosen
        c.llama_decode(context, c.llama_batch_get_one(token, 1))
        c.llama_synchronize(context)
        decoded = perf_counter_ns()
        # As Llama.eval does with logits_all, which logprobs and logits processors need.
        scores[:] = row_of(c, context, scores)
        handed = perf_counter_ns()
        sample += sampled - before
        detokenize += shown - sampled
        decode += decoded - shown
        copies += handed - decoded
    total = perf_counter_ns() - begin
    return {"total": total, "decode": decode, "sample": sample, "detokenize": detokenize, "copies": copies}


if __name__ == "__main__":
    main()
