"""How many tokens a call computes, and of how many sequences.

``llama_decode`` and ``llama_encode`` get the number with their batch. ``llama_process`` gets an opaque
``llama_batch_ext``; its number follows from the calls that filled it: each addition returns its position, and
``llama_batch_ext_clear`` begins anew (llama.h, "Extended batch API").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.interface.exchange import Exchange, finished, starts

PLAIN = ("llama_decode", "llama_encode")
EXTENDED = "llama_process"
ADDITIONS = ("llama_batch_ext_add", "llama_batch_ext_add_token", "llama_batch_ext_add_embd")
CLEAR = "llama_batch_ext_clear"
UNKNOWN = -1


@dataclass(frozen=True)
class Batches:
    """What each call computes; ``UNKNOWN`` where that can't be told.

    Attributes:
        tokens: Tokens in the batch.
        generating: Whether it has one token of each of its sequences, as generating does.
    """

    tokens: IntArray
    generating: NDArray[np.bool_]


def batches(exchange: Exchange, calls: NDArray[np.void]) -> Batches:
    """Return the batches of calls of ``llama_decode``, ``llama_encode`` and ``llama_process``.

    Where the number isn't known, a batch is taken for one that generates.
    """
    tokens = np.full(len(calls), UNKNOWN, np.int64)
    generating = np.ones(len(calls), dtype=bool)
    names = np.array([function.name for function in exchange.functions], dtype=object)
    plain = np.isin(calls["nr"], np.flatnonzero(np.isin(names, PLAIN)))
    for nr in np.unique(calls["nr"][plain]).tolist():
        mine = calls["nr"] == nr
        counts = exchange.argument(calls[mine], "n_tokens")
        if counts is not None:
            tokens[mine] = counts
            generating[mine] = counts == 1
    extended = np.flatnonzero(np.isin(calls["nr"], np.flatnonzero(names == EXTENDED)))
    pointers = exchange.argument(calls[extended], "batch") if len(extended) else None
    if pointers is not None:
        for row, (count, sequences) in zip(
            extended.tolist(), _filled(exchange, calls[extended], pointers), strict=True
        ):
            if count:
                tokens[row], generating[row] = count, count == sequences
    return Batches(tokens, generating)


def _filled(exchange: Exchange, calls: NDArray[np.void], pointers: IntArray) -> list[tuple[int, int]]:
    """Return (tokens, sequences) of the batch of each call of ``llama_process``; 0 where nobody saw it filled."""
    found = [(0, 0)] * len(calls)
    state: dict[tuple[int, int], tuple[int, set[int]]] = {}
    for _, pid, batch, position, sequence, row in sorted([*_changes(exchange), *_uses(calls, pointers)]):
        count, sequences = state.get((pid, batch), (0, set()))
        if row >= 0:
            found[row] = count, len(sequences)
        elif position < 0:
            state[pid, batch] = 0, set()
        else:
            state[pid, batch] = position + 1, {*sequences, sequence}
    return found


_Event = tuple[int, int, int, int, int, int]
"""start, pid, batch, position of what was added (-1: cleared), its sequence, row of a use (-1: none)."""


def _changes(exchange: Exchange) -> Iterator[_Event]:
    for names, added in ((ADDITIONS, True), ((CLEAR,), False)):
        calls = exchange.calls[exchange.named(*names) & finished(exchange.calls)]
        calls = calls[calls["ret"] >= 0] if added else calls
        batch = exchange.argument(calls, "batch")
        sequence = exchange.argument(calls, "sequence") if added else np.zeros(len(calls), np.int64)
        if batch is not None and sequence is not None:
            position = calls["ret"] if added else np.full(len(calls), -1)
            rows = (starts(calls), calls["pid"], batch, position, sequence, np.full(len(calls), -1))
            yield from zip(*(column.tolist() for column in rows), strict=True)


def _uses(calls: NDArray[np.void], pointers: IntArray) -> Iterator[_Event]:
    zero = np.zeros(len(calls), np.int64)
    rows = (starts(calls), calls["pid"], pointers, zero, zero, np.arange(len(calls)))
    yield from zip(*(column.tolist() for column in rows), strict=True)
