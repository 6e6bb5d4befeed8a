"""Arguments that calls into llama.cpp were given."""

from __future__ import annotations

import numpy as np

from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts

CONTEXTS = ("llama_init_from_model", "llama_new_context_with_model", "llama_set_n_threads")


def last_argument(facts: ExchangeFacts | None, names: tuple[str, ...], label: str) -> int | None:
    """Return the argument of that name in the last call of these functions, int32; None when none told."""
    if facts is None:
        return None
    keeping = {row.name for row in facts.exchange.functions if row.position(label) is not None}
    calls = facts.exchange.calls[facts.exchange.named(*keeping.intersection(names))]
    values = facts.exchange.argument(calls, label) if len(calls) else None
    if values is None:
        return None
    return _signed(int(values[-1]))


def threads_asked(facts: ExchangeFacts | None) -> tuple[int | None, int | None]:
    """Return n_threads and n_threads_batch as they were asked for last; None for what no call told.

    A call that makes a context keeps both in one word: its structure has them beside each other.
    """
    if facts is None:
        return None, None
    keeping = {row.name for row in facts.exchange.functions if row.position("n_threads") is not None}
    calls = facts.exchange.calls[facts.exchange.named(*keeping.intersection(CONTEXTS))]
    if not len(calls):
        return None, None
    function = facts.exchange.functions[int(calls["nr"][-1])]
    threads, batch = function.position("n_threads"), function.position("n_threads_batch")
    if threads is None:
        return None, None
    word = int(calls["args"][-1][threads])
    if function.args[threads].endswith(":2"):
        return _signed(word), _signed(word >> 32)
    return _signed(word), None if batch is None else _signed(int(calls["args"][-1][batch]))


def _signed(word: int) -> int:
    return int(np.int32(np.uint32(word & 0xFFFFFFFF)))
