"""Threads that compute for a token beside the one that called: was one of them missing?

At a barrier all threads wait for the last one, spinning or in a futex. So a worker that waits for a CPU, is
stopped, or sits in a system call costs the whole token as much. A worker that sleeps in a futex waits for the
others itself and isn't missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.decode.table import calls
from llamactl.trace.mechanisms.cpu.scheduling import Counter, Scheduling, beyond_usual
from llamactl.trace.mechanisms.interface.crossings import Tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange

MAJOR = 1
AT_BARRIER = frozenset({"futex", "futex_wait", "futex_waitv", "sched_yield"})
STATES = {"T": "stopped", "t": "stopped by a tracer", "D": "waiting for the disk"}


@dataclass(frozen=True)
class Worker:
    """One thread that never runs Python, over all tokens.

    Attributes:
        tid: The thread.
        delay: Run delay around each token beyond what is usual for so long, ns.
        idle: Time off the CPU without waiting for one, likewise.
        major: Major faults in each decode; None where they weren't recorded.
        counter: Its looks.
        arch: Of its system calls.
    """

    tid: int
    delay: IntArray
    idle: IntArray
    major: IntArray | None
    counter: Counter
    arch: int

    def away_in(self, start: int, length: int) -> str | None:
        """Return what kept the thread from its work within a span, such as "stopped"; None for nothing seen."""
        for letter, call in self.counter.states(start, length):
            if letter in STATES:
                return STATES[letter]
            known = calls(self.arch).get(call) if call is not None else None
            if letter == "S" and known is not None and known.name not in AT_BARRIER:
                return f"in {known.name}"
        return None


def workers(
    exchange: Exchange, rows: Tokens, scheduling: Scheduling | None, faults: NDArray[np.void] | None
) -> list[Worker]:
    """Return the threads of the tokens' processes that neither call llama.cpp nor touch the GIL."""
    if scheduling is None or not len(rows):
        return []
    pids = set(exchange.calls["pid"][rows.index].tolist())
    python = set(exchange.calls["tid"].tolist()) | set(exchange.gil["tid"].tolist())
    return [
        _worker(tid, counter, rows, faults)
        for (pid, tid), counter in scheduling.threads.items()
        if pid in pids and tid not in python and tid != pid
    ]


def _worker(tid: int, counter: Counter, rows: Tokens, faults: NDArray[np.void] | None) -> Worker:
    wide = counter.width(rows.start, rows.length_ns)
    busy = counter.gained(rows.start, rows.length_ns, 0) + counter.gained(rows.start, rows.length_ns, 1)
    return Worker(
        tid=tid,
        delay=counter.unusual(rows.start, rows.length_ns, 1),
        idle=beyond_usual(np.maximum(wide - busy, 0), wide, rows.length_ns),
        major=None if faults is None else _major(tid, rows, faults),
        counter=counter,
        arch=counter.arch,
    )


def _major(tid: int, rows: Tokens, faults: NDArray[np.void]) -> IntArray:
    moments = np.sort(faults["start"][(faults["tid"] == tid) & (faults["nr"] == MAJOR)].astype(np.int64))
    low = np.searchsorted(moments, rows.start)
    found: IntArray = np.searchsorted(moments, rows.start + rows.in_call_ns) - low
    return found
