"""What the memory of a context (its KV cache) holds: how many tokens, and how much of them calls take away.

``llama_memory_clear`` empties it, ``llama_memory_seq_rm`` takes a range of positions from a sequence (llama.h): its
end, before a prompt that begins like the last one, or its middle, when a full context is shifted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from llamactl.trace.mechanisms.interface.exchange import Exchange, finished, starts

CLEAR = "llama_memory_clear"
REMOVE = "llama_memory_seq_rm"
GET = "llama_get_memory"
RESTORES = (
    "llama_state_set_data",
    "llama_state_seq_set_data",
    "llama_state_load_file",
    "llama_state_seq_load_file",
)
CREATES = ("llama_init_from_model", "llama_new_context_with_model")

Context = tuple[int, int]
"""Process and address."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A call that takes tokens away.

    Attributes:
        at_ns: When.
        first: The first position that is taken.
        end: The position after the last one; None for all from ``first`` on.
        sequence: Of which sequence; -1 for every one.
    """

    at_ns: int
    first: int
    end: int | None
    sequence: int


def created(exchange: Exchange) -> dict[Context, int]:
    """Return when each context was made, ns."""
    calls = exchange.calls[exchange.named(*CREATES) & finished(exchange.calls)]
    rows = zip(calls["pid"].tolist(), calls["ret"].tolist(), starts(calls).tolist(), strict=True)
    return {(pid, context): at for pid, context, at in rows if context}


def cuts(exchange: Exchange, contexts: set[Context]) -> dict[Context, list[Cut]]:
    """Return the calls that take tokens away, by context and in the order of time.

    Args:
        exchange: The calls.
        contexts: Those that decode; a memory whose context was never told is that of the only one of its process.
    """
    owner = _owners(exchange)
    alone = {pid: context for pid, context in contexts if sum(other == pid for other, _ in contexts) == 1}
    found: dict[Context, list[Cut]] = {}
    for pid, memory, cut in sorted((*_clears(exchange), *_removals(exchange)), key=lambda row: row[2].at_ns):
        context = owner.get((pid, memory), alone.get(pid))
        if context is not None:
            found.setdefault((pid, context), []).append(cut)
    return found


def restored(exchange: Exchange) -> dict[int, list[int]]:
    """Return when saved states were loaded, by process: what a cache holds then isn't known."""
    calls = exchange.calls[exchange.named(*RESTORES)]
    found: dict[int, list[int]] = {}
    for pid, at in zip(calls["pid"].tolist(), starts(calls).tolist(), strict=True):
        found.setdefault(pid, []).append(at)
    return found


def _owners(exchange: Exchange) -> dict[tuple[int, int], int]:
    calls = exchange.calls[exchange.named(GET) & finished(exchange.calls)]
    contexts = exchange.argument(calls, "context")
    if contexts is None:
        return {}
    rows = zip(calls["pid"].tolist(), calls["ret"].tolist(), contexts.tolist(), strict=True)
    return {(pid, memory): context for pid, memory, context in rows if memory}


def _clears(exchange: Exchange) -> Iterator[tuple[int, int, Cut]]:
    calls = exchange.calls[exchange.named(CLEAR)]
    memory = exchange.argument(calls, "memory")
    if memory is None:
        memory = np.zeros(len(calls), np.int64)
    for pid, one, at in zip(calls["pid"].tolist(), memory.tolist(), starts(calls).tolist(), strict=True):
        yield pid, one, Cut(at, 0, None, -1)


def _removals(exchange: Exchange) -> Iterator[tuple[int, int, Cut]]:
    calls = exchange.calls[exchange.named(REMOVE)]
    first, end = exchange.argument(calls, "from"), exchange.argument(calls, "to")
    sequence, memory = exchange.argument(calls, "sequence"), exchange.argument(calls, "memory")
    if first is None or end is None or sequence is None:
        return
    if memory is None:
        memory = np.zeros(len(calls), np.int64)
    rows = (calls["pid"], memory, starts(calls), first, end, sequence)
    for pid, one, at, low, high, which in zip(*(row.tolist() for row in rows), strict=True):
        yield pid, one, Cut(at, max(low, 0), high if high >= 0 else None, which)
