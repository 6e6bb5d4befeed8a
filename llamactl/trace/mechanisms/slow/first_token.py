"""Time to the first token, split into its causes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.phases import OUTSIDE, Phases

_ENDS = ("sample", "decode", "prefill")
"""The first token is there when its sampling ends; where none was seen, when the prompt is read."""
CHOOSES = ("llama_sampler_sample", "llama_get_logits", "llama_get_logits_ith", "llama_get_sampled_token_ith")
"""What tokens are chosen with: a program that only reads prompts and calls none of them makes embeddings."""

LOAD = "load"


@dataclass(frozen=True, slots=True)
class FirstToken:
    """Seconds to the first token, from what :func:`first_token` says; ``parts`` add up to ``total_s``.

    ``unfinished``: there was none when recording ended, after ``total_s``.
    """

    total_s: float
    ends_with: str
    parts: tuple[tuple[str, float], ...]
    unfinished: bool = False


def first_token(
    phases: Phases, begin_ns: int, attached: bool = False, exchange: Exchange | None = None
) -> FirstToken | None:
    """Return the split, or None when the capture has no phase in which a token is made.

    Args:
        phases: The phases of the capture.
        begin_ns: The first moment of the capture.
        attached: The program ran before: the first token that was seen is its first one only if it was also seen
            loading its model, and counts from there.
        exchange: The calls into llama.cpp: they tell whether a program that reads prompts makes tokens of them.
    """
    if attached:
        loads = phases.start[phases.number == phases.names.index(LOAD)] if LOAD in phases.names else []
        if not len(loads):
            return None
        begin_ns = int(loads[0])
    chooses = exchange is not None and bool(exchange.named(*CHOOSES).any())
    for last in _ENDS:
        if last in phases.names:
            rows = np.flatnonzero(phases.number == phases.names.index(last))
            # What a prompt is read for isn't known while it is read.
            if len(rows) and (last != "prefill" or chooses or phases.is_open(int(rows[0]))):
                return _split(phases, begin_ns, _last_piece(phases, int(rows[0])), last)
    return None


def _last_piece(phases: Phases, row: int) -> int:
    """Return the last row of one phase that another one cuts: a sampler that waits for the decode is in two pieces."""
    while row + 2 < len(phases.start):
        adjoins = phases.end[row : row + 2] == phases.start[row + 1 : row + 3]
        if not adjoins.all() or phases.number[row + 2] != phases.number[row]:
            break
        row += 2
    return row


def _split(phases: Phases, begin_ns: int, row: int, last: str) -> FirstToken:
    end = int(phases.end[row])
    start = np.maximum(phases.start[: row + 1], begin_ns)
    length = np.minimum(phases.end[: row + 1], end) - start
    sums = np.bincount(phases.number[: row + 1], length, minlength=len(phases.names)) / 1e9
    total = (end - begin_ns) / 1e9
    parts = [(name, float(value)) for name, value in zip(phases.names, sums, strict=True) if value]
    parts.append((OUTSIDE, max(total - float(sums.sum()), 0.0)))
    return FirstToken(total, last, tuple(parts), phases.is_open(row))
