"""Compute threads that use a CPU while nothing is computed: they spin, waiting for the next call.

A thread can't have computed for longer than calls into llama.cpp were under way. For what it ran, or waited for
a CPU, beyond that it was up between them: a bound from below. Sleeping threads do neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.cpu.scheduling import Counter, Scheduling
from llamactl.trace.mechanisms.interface.exchange import Exchange, durations, starts, timed

SPUN_SHARE = 0.5
"""Of the time between calls: a thread that is at it for less has stopped spinning soon."""
LEAST_NS = 50_000_000
BUSY_SHARE = 0.5
"""A thread that was busy for less than this while calls were under way isn't one of llama.cpp's."""


@dataclass(frozen=True, slots=True)
class Spinning:
    """Threads that spun.

    Attributes:
        threads: How many.
        spun_ns: How long they ran or waited for a CPU while no call was under way, all together; at least.
        between_calls_ns: How long no call was under way, once for all threads.
    """

    threads: int
    spun_ns: int
    between_calls_ns: int


def spinning(exchange: Exchange, scheduling: Scheduling | None) -> Spinning | None:
    """Return the threads that spin between calls; None when none does, or nothing was looked up."""
    if scheduling is None:
        return None
    python = set(exchange.calls["tid"].tolist()) | set(exchange.gil["tid"].tolist())
    pids = set(exchange.calls["pid"].tolist())
    begin, end = _under_way(exchange)
    found = [
        one
        for (pid, tid), counter in scheduling.threads.items()
        if pid in pids
        and tid not in python
        and tid != pid
        and (one := _spun(counter, begin, end)) is not None
    ]
    if not found:
        return None
    return Spinning(len(found), sum(spun for spun, _ in found), max(between for _, between in found))


def _spun(counter: Counter, begin: IntArray, end: IntArray) -> tuple[int, int] | None:
    """Return (time up outside of calls, time outside of calls) of a thread that spins."""
    first, last = int(counter.end[0]), int(counter.begin[-1])
    called = int(np.maximum(np.minimum(end, last) - np.maximum(begin, first), 0).sum())
    up = int((counter.values[-1, :2] - counter.values[0, :2]).sum())
    between, spun = last - first - called, up - called
    if called < LEAST_NS or between < LEAST_NS or up < BUSY_SHARE * called:
        return None
    return (spun, between) if spun >= max(LEAST_NS, SPUN_SHARE * between) else None


def _under_way(exchange: Exchange) -> tuple[IntArray, IntArray]:
    """Return when any call was under way, as intervals that don't overlap."""
    calls = exchange.calls[timed(exchange.calls)]
    begin, end = starts(calls), starts(calls) + durations(calls)
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], np.maximum.accumulate(end[order]) if len(end) else end
    fresh = np.ones(len(begin), dtype=bool)
    fresh[1:] = begin[1:] > end[:-1]
    firsts = np.flatnonzero(fresh)
    lasts = np.append(firsts[1:] - 1, len(begin) - 1) if len(firsts) else firsts
    return begin[firsts], end[lasts]
