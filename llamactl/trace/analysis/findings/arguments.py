"""Arguments that calls into llama.cpp were given."""

from __future__ import annotations

import numpy as np

from llamactl.trace.analysis.exchange_facts import ExchangeFacts

CONTEXTS = ("llama_init_from_model", "llama_new_context_with_model", "llama_set_n_threads")
LOADS = ("llama_model_load_from_file", "llama_load_model_from_file")


def last_argument(facts: ExchangeFacts | None, names: tuple[str, ...], label: str) -> int | None:
    """Return the argument of that name in the last call of these functions, int32; None when none told."""
    if facts is None:
        return None
    keeping = {row.name for row in facts.exchange.functions if row.position(label) is not None}
    calls = facts.exchange.calls[facts.exchange.named(*keeping.intersection(names))]
    values = facts.exchange.argument(calls, label) if len(calls) else None
    if values is None:
        return None
    return int(np.int32(np.uint32(int(values[-1]) & 0xFFFFFFFF)))
