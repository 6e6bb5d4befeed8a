"""Tokens that took much longer than the others, and what was different in them.

A token is slow when it took more than three times the median. Its excess over the median is compared with
the excess of each thing that was measured in it (:mod:`~llamactl.trace.mechanisms.slow.slow_measures`); the largest
one that covers half of the excess is the cause (:mod:`~llamactl.trace.mechanisms.slow.slow_causes`). When none does,
the token is unexplained: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from llamactl.trace.mechanisms.gil.gil import GilWait
from llamactl.trace.mechanisms.interface.crossings import Tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange, finished
from llamactl.trace.mechanisms.slow.slow_causes import Cause, candidates
from llamactl.trace.mechanisms.slow.slow_measures import Evidence, Measured, fault_place, measure

SLOW = 3.0
NEEDED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SlowToken:
    """One slow token.

    Attributes:
        index: Which token, from 0.
        start_ns: When its decode began.
        length_ns: How long it took.
        median_ns: What the others take.
        cause: Why.
        explained_ns: How much of the excess the cause covers; 0 for unexplained.
        evidence: The figures behind the cause: (what, value), such as ("involuntary context switches", 12).
        wait: The longest wait for the GIL in it, with its holder, where the GIL is the cause.
        subject: What the cause is about, where that is known: the tensor or file that was read, the control
            group, what the missing thread did.
        thread: The thread that was missing at the barrier.
        unfinished: It wasn't there yet at the end of the recording: ``length_ns`` is what was seen of it.
    """

    index: int
    start_ns: int
    length_ns: int
    median_ns: int
    cause: Cause
    explained_ns: int
    evidence: tuple[tuple[str, int], ...]
    wait: GilWait | None
    subject: str | None = None
    thread: int | None = None
    unfinished: bool = False


def slow_tokens(
    exchange: Exchange, rows: Tokens, waits: list[GilWait], evidence: Evidence | None = None
) -> list[SlowToken]:
    """Explain every slow token.

    Args:
        exchange: The records.
        rows: What :func:`llamactl.trace.mechanisms.interface.crossings.tokens` made of them.
        waits: What ``gil_report`` found.
        evidence: What else was recorded.

    Returns:
        The slow tokens in order of time.
    """
    still = ~finished(exchange.calls[rows.index])
    if still.all():
        return []
    median = int(np.median(rows.length_ns[~still]))
    known = evidence or Evidence()
    measured = measure(exchange, rows, known)
    slow = np.flatnonzero(rows.length_ns > SLOW * median)
    found = [_explain(rows, measured, int(index), median, waits, known) for index in slow]
    return [replace(token, unfinished=bool(still[token.index])) for token in found]


def _explain(
    rows: Tokens, measured: Measured, index: int, median: int, waits: list[GilWait], known: Evidence
) -> SlowToken:
    length, begin = int(rows.length_ns[index]), int(rows.start[index])
    excess = length - median
    best = max(candidates(measured, index, excess), key=lambda item: item.explained_ns)
    if best.explained_ns < NEEDED_SHARE * excess:
        return SlowToken(index, begin, length, median, Cause.UNEXPLAINED, 0, (), None)
    inside = [
        wait for wait in waits if wait.tid == rows.tid[index] and begin <= wait.start_ns < begin + length
    ]
    subject = best.subject
    if best.cause is Cause.MAJOR_FAULTS:
        subject = fault_place(known, begin, int(rows.in_call_ns[index]))
    return SlowToken(
        index=index,
        start_ns=begin,
        length_ns=length,
        median_ns=median,
        cause=best.cause,
        explained_ns=best.explained_ns,
        evidence=best.evidence,
        wait=max(inside, key=lambda wait: wait.wait_ns) if best.cause is Cause.GIL and inside else None,
        subject=subject,
        thread=best.thread,
    )
