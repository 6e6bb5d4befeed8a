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
    print(json.dumps({"version": c.__version__}), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(repetition(c, context, vocab, sampler, n_gen)), file=answers, flush=True)


def repetition(c: Any, context: Any, vocab: Any, sampler: Any, n_gen: int) -> dict[str, int]:
    """Generate and return the nanoseconds of each step."""
    c.llama_memory_clear(c.llama_get_memory(context), False)
    token = (c.llama_token * 1)(max(c.llama_vocab_bos(vocab), 0))
    buffer = ctypes.create_string_buffer(256)
    c.llama_decode(context, c.llama_batch_get_one(token, 1))
    c.llama_synchronize(context)
    sample = detokenize = decode = 0
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
        sample += sampled - before
        detokenize += shown - sampled
        decode += decoded - shown
    total = perf_counter_ns() - begin
    return {"total": total, "decode": decode, "sample": sample, "detokenize": detokenize}


if __name__ == "__main__":
    main()
