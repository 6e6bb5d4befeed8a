"""Event loops (asyncio and its like) that computing calls keep from looking for events.

An event loop shows as a thread that waits in epoll again and again. Where calls into llama.cpp lie between two
of its waits, nothing else that the loop serves could run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.engine_calls import COMPUTE
from llamactl.trace.mechanisms.interface.exchange import (
    Exchange,
    Place,
    durations,
    ends,
    finished,
    outermost,
    starts,
    timed,
)
from llamactl.trace.mechanisms.view import View, codes_of

EPOLL = ("epoll_wait", "epoll_pwait", "epoll_pwait2")
BLOCKED_NS = 100_000_000
"""As asyncio's own debug mode: a callback that takes longer is slow."""


@dataclass(frozen=True, slots=True)
class BlockedLoop:
    """The event loop of one thread.

    Attributes:
        tid: The thread.
        gaps: How often it didn't look for events for at least ``BLOCKED_NS`` because it computed.
        longest_ns: The longest of these.
        total_ns: All of them.
        in_c_ns: How much of that was in computing calls.
        unfinished: The last of them was still under way at the end of the recording.
        place: (file, line, function) that made the longest call of the longest gap.
        caller: Where that was called from, outside of all installed packages; None where it is the same.
    """

    tid: int
    gaps: int
    longest_ns: int
    total_ns: int
    in_c_ns: int
    unfinished: bool
    place: Place | None
    caller: Place | None


class EventLoopTable:
    """Collects when threads waited for events."""

    def __init__(self) -> None:
        self._codes = codes_of(EPOLL)
        self._parts: list[IntArray] = []

    def add(self, view: View) -> None:
        """Take the waits of a piece."""
        mine = self._codes[view.code]
        if mine.any():
            self._parts.append(np.stack([view.tid, view.start, view.duration])[:, mine])

    def blocked(self, exchange: Exchange) -> list[BlockedLoop]:
        """Return the loops that computing calls blocked, the longest gap first."""
        if not self._parts:
            return []
        tid, start, duration = np.concatenate(self._parts, axis=1)
        calls = exchange.calls
        # Where a device computes, what waits for it keeps the loop as a decode does elsewhere.
        waits = np.zeros(len(calls), dtype=bool)
        waits[exchange.awaited.around] = True
        computing = calls[(exchange.named(*COMPUTE) | waits) & outermost(calls) & timed(calls)]
        found = []
        for thread in np.intersect1d(tid, computing["tid"]).tolist():
            own, mine = tid == thread, computing[computing["tid"] == thread]
            begin, end = np.sort(start[own]), np.sort((start + duration)[own])
            # A call that is open at the end of the recording has kept the loop until then.
            loop = _loop(exchange, int(thread), np.append(begin, ends(mine[~finished(mine)])[-1:]), end, mine)
            if loop is not None:
                found.append(loop)
        return sorted(found, key=lambda loop: -loop.longest_ns)


def _loop(
    exchange: Exchange, tid: int, start: IntArray, end: IntArray, calls: NDArray[np.void]
) -> BlockedLoop | None:
    """Measure the gaps between waits that hold computing calls."""
    count = min(len(end), len(start) - 1)
    after, before = end[:count], start[1 : count + 1]
    low = np.searchsorted(starts(calls), after, "left")
    high = np.searchsorted(starts(calls), before, "left")
    total = np.concatenate([[0], np.cumsum(durations(calls))])
    in_c = total[high] - total[low]
    # Without half of it in C the loop was kept by something else.
    gaps = np.flatnonzero((before - after >= BLOCKED_NS) & (2 * in_c >= before - after))
    if not len(gaps):
        return None
    length = (before - after)[gaps]
    widest = gaps[length.argmax()]
    mine = calls[low[widest] : high[widest]]
    text = int(mine["text2"][durations(mine).argmax()])
    return BlockedLoop(
        tid=tid,
        gaps=len(gaps),
        longest_ns=int(length.max()),
        total_ns=int(length.sum()),
        in_c_ns=int(in_c[gaps].sum()),
        unfinished=bool((~finished(calls[low[gaps[-1]] : high[gaps[-1]]])).any()),
        place=exchange.place(text),
        caller=exchange.caller(text),
    )
