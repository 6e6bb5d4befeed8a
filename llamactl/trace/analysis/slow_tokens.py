"""Tokens that took much longer than the others, and what was different in them.

A token is slow when it took more than three times the median. Its excess over the median is compared with
the excess of each thing that was measured in it; the largest one that covers half of the excess is the
cause. When none does, the token is unexplained: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.crossings import Tokens, sums_by_token
from llamactl.trace.analysis.exchange import Exchange, IntArray, durations, finished
from llamactl.trace.analysis.gil import GilWait

SLOW = 3.0
NEEDED_SHARE = 0.5
SAMPLER_PREFIX = "llama_sampler_"


class Cause(Enum):
    """Why a token was slow."""

    GIL = "waiting for the GIL"
    SAMPLER = "a longer sampler"
    OTHER_CALLS = "other calls into llama.cpp"
    SYSTEM_CALLS = "system calls between the calls"
    PYTHON = "Python between the calls"
    MAJOR_FAULTS = "page faults read from disk"
    PREEMPTED = "preempted or throttled in the decode"
    BLOCKED = "blocked in the decode"
    AWAY = "off the CPU in the decode, blocked or preempted"
    COMPUTING = "more computing in the decode"
    UNEXPLAINED = "unexplained"


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
        evidence: The figure behind the cause: (what, value), such as ("involuntary context switches", 12).
        wait: The longest wait for the GIL in it, with its holder, where the GIL is the cause.
    """

    index: int
    start_ns: int
    length_ns: int
    median_ns: int
    cause: Cause
    explained_ns: int
    evidence: tuple[tuple[str, int], ...]
    wait: GilWait | None


@dataclass(frozen=True)
class _Measured:
    """What is known of each token, as arrays of equal length; None where it wasn't recorded."""

    gil: IntArray
    sampler: IntArray
    other: IntArray
    python: IntArray
    system: IntArray | None
    decode: IntArray
    cpu: IntArray | None
    major: IntArray | None
    waiting: IntArray | None
    voluntary: IntArray | None
    involuntary: IntArray | None


def slow_tokens(
    exchange: Exchange,
    rows: Tokens,
    waits: list[GilWait],
    system_calls: NDArray[np.void] | None = None,
) -> list[SlowToken]:
    """Explain every slow token.

    Args:
        exchange: The records.
        rows: What :func:`llamactl.trace.analysis.crossings.tokens` made of them.
        waits: What ``gil_report`` found.
        system_calls: SYSCALL records by start; None when they weren't recorded.

    Returns:
        The slow tokens in order of time.
    """
    if not len(rows):
        return []
    median = int(np.median(rows.length_ns))
    measured = _measure(exchange, rows, system_calls)
    slow = np.flatnonzero(rows.length_ns > SLOW * median)
    return [_explain(rows, measured, int(index), median, waits) for index in slow]


def _measure(exchange: Exchange, rows: Tokens, system_calls: NDArray[np.void] | None) -> _Measured:
    calls = exchange.calls
    is_sampler = np.array([item.name.startswith(SAMPLER_PREFIX) for item in exchange.functions], dtype=bool)
    samplers = calls[is_sampler[calls["nr"]]]
    sampler = sums_by_token(rows.start, rows.length_ns, rows.tid, samplers, durations(samplers))
    decodes = calls[rows.index]
    switches = exchange.argument(decodes, "switches")
    faults = exchange.argument(decodes, "faults")
    return _Measured(
        gil=rows.gil_wait_ns,
        sampler=sampler,
        other=np.maximum(rows.in_c_ns - rows.decode_ns - sampler, 0),
        python=rows.python_ns,
        system=None if system_calls is None else _outside_calls(rows, system_calls),
        decode=rows.decode_ns,
        cpu=exchange.argument(decodes, "cpu_ns"),
        major=None if faults is None else faults >> 32,
        waiting=None if system_calls is None else _inside_decode(rows, system_calls),
        voluntary=None if switches is None else switches & 0xFFFFFFFF,
        involuntary=None if switches is None else switches >> 32,
    )


def _outside_calls(rows: Tokens, system_calls: NDArray[np.void]) -> IntArray:
    """Add up each token's system calls after its decode, on its own thread."""
    done = system_calls[finished(system_calls)]
    begin = rows.start + rows.decode_ns
    spent = sums_by_token(begin, rows.length_ns - rows.decode_ns, rows.tid, done, durations(done))
    # Some of them lie in other calls or in waits for the GIL: no more than Python's part is Python's.
    return np.minimum(spent, rows.python_ns)


def _inside_decode(rows: Tokens, system_calls: NDArray[np.void]) -> IntArray:
    done = system_calls[finished(system_calls)]
    return sums_by_token(rows.start, rows.decode_ns, rows.tid, done, durations(done))


def _excess(values: IntArray, index: int) -> int:
    return max(int(values[index]) - int(np.median(values)), 0)


def _explain(rows: Tokens, measured: _Measured, index: int, median: int, waits: list[GilWait]) -> SlowToken:
    length = int(rows.length_ns[index])
    candidates = [*_outside(measured, index), *_inside(measured, index)]
    cause, explained, evidence = max(candidates, key=lambda item: item[1])
    if explained < NEEDED_SHARE * (length - median):
        cause, explained, evidence = Cause.UNEXPLAINED, 0, ()
    begin = int(rows.start[index])
    inside = [
        wait for wait in waits if wait.tid == rows.tid[index] and begin <= wait.start_ns < begin + length
    ]
    return SlowToken(
        index=index,
        start_ns=begin,
        length_ns=length,
        median_ns=median,
        cause=cause,
        explained_ns=explained,
        evidence=evidence,
        wait=max(inside, key=lambda wait: wait.wait_ns) if cause is Cause.GIL and inside else None,
    )


Candidate = tuple[Cause, int, tuple[tuple[str, int], ...]]


def _outside(measured: _Measured, index: int) -> list[Candidate]:
    """Return what happened outside of the decode."""
    python = _excess(measured.python, index)
    found: list[Candidate] = [
        (Cause.GIL, _excess(measured.gil, index), (("ns waiting for the GIL", int(measured.gil[index])),)),
        (
            Cause.SAMPLER,
            _excess(measured.sampler, index),
            (("ns in samplers", int(measured.sampler[index])),),
        ),
        (
            Cause.OTHER_CALLS,
            _excess(measured.other, index),
            (("ns in other calls", int(measured.other[index])),),
        ),
    ]
    if measured.system is not None:
        system = min(_excess(measured.system, index), python)
        found.append((Cause.SYSTEM_CALLS, system, (("ns in system calls", int(measured.system[index])),)))
        python -= system
    found.append((Cause.PYTHON, python, (("ns in Python", int(measured.python[index])),)))
    return found


def _inside(measured: _Measured, index: int) -> list[Candidate]:
    """Return what happened inside of the decode: on the CPU, or off it and why."""
    if measured.cpu is None or measured.voluntary is None or measured.involuntary is None:
        return []
    away = _excess(np.maximum(measured.decode - measured.cpu, 0), index)
    busy = _excess(np.minimum(measured.cpu, measured.decode), index)
    found: list[Candidate] = [
        (Cause.COMPUTING, busy, (("ns of CPU time in the decode", int(measured.cpu[index])),))
    ]
    found.append(_away(measured, index, away))
    return found


def _away(measured: _Measured, index: int, away: int) -> Candidate:
    """Say why the thread was off the CPU: by counts of switches, and by system calls where both occurred."""
    assert measured.voluntary is not None
    assert measured.involuntary is not None
    major = 0 if measured.major is None else int(measured.major[index])
    voluntary, involuntary = int(measured.voluntary[index]), int(measured.involuntary[index])
    blocked = voluntary > np.median(measured.voluntary)
    preempted = involuntary > np.median(measured.involuntary)
    counts = (("voluntary context switches", voluntary), ("involuntary context switches", involuntary))
    if major:
        return Cause.MAJOR_FAULTS, away, (("major page faults", major),)
    if blocked and preempted:
        if measured.waiting is None:
            return Cause.AWAY, away, counts
        waiting = min(_excess(measured.waiting, index), away)
        in_calls: Candidate = (
            Cause.BLOCKED,
            waiting,
            (("ns in system calls", int(measured.waiting[index])),),
        )
        return in_calls if 2 * waiting >= away else (Cause.PREEMPTED, away - waiting, counts)
    if not blocked and not preempted:
        return Cause.UNEXPLAINED, 0, ()
    return (Cause.BLOCKED if blocked else Cause.PREEMPTED), away, counts
