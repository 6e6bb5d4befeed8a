"""The same loop as :mod:`llamactl.bench.bindings.binding_ctypes`, through llamactl's own engine (CFFI, API mode)."""

from __future__ import annotations

import json
import sys
from time import perf_counter_ns

from llamactl import __version__
from llamactl.engine import GREEDY, Context, ContextParameters, Model, Sampler


def main() -> None:
    """Load the model and answer until stdin ends."""
    path, n_threads, n_gen = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    parameters = ContextParameters(n_ctx=n_gen + 1, n_threads=n_threads, n_threads_batch=n_threads)
    with Model(path) as model, Context(model, parameters) as context, Sampler(model, GREEDY) as sampler:
        print(json.dumps({"version": __version__}), flush=True)
        for _ in sys.stdin:
            print(json.dumps(repetition(model, context, sampler, n_gen)), flush=True)


def repetition(model: Model, context: Context, sampler: Sampler, n_gen: int) -> dict[str, int]:
    """Generate and return the nanoseconds of each step."""
    context.kv.clear(data=False)
    piece = model.vocabulary.piece
    context.decode_token(model.vocabulary.bos or 0)
    context.synchronize()
    sample = detokenize = decode = copies = 0
    begin = perf_counter_ns()
    for _ in range(n_gen):
        before = perf_counter_ns()
        chosen = sampler.sample(context)
        sampled = perf_counter_ns()
        piece(chosen).decode("utf-8", "replace")
        shown = perf_counter_ns()
        context.decode_token(chosen)
        context.synchronize()
        decoded = perf_counter_ns()
        row = context.logits()
        row[0]
        handed = perf_counter_ns()
        sample += sampled - before
        detokenize += shown - sampled
        decode += decoded - shown
        copies += handed - decoded
    total = perf_counter_ns() - begin
    return {
        "total": total, "decode": decode, "sample": sample, "detokenize": detokenize, "copies": copies,
        "copied_bytes": copied_bytes(context),
    }  # fmt: skip


def copied_bytes(context: Context) -> int:
    """Return how many bytes of a row of logits lie elsewhere than where the engine has them."""
    from _cffi_backend import FFI

    ffi, view = FFI(), context.logits()
    with view.memoryview() as row:
        return 0 if int(ffi.cast("uintptr_t", ffi.from_buffer(row))) == view.address else row.nbytes


if __name__ == "__main__":
    main()
