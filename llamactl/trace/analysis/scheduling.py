"""What the kernel's counters of waiting and throttling gained over spans of time.

Two looks bracket a span: the last one that ended before it and the first one that began after it. What the
counters gained between them is all that can lie in the span, and some from its neighbours: a bound from above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.record import RECORD, Kind, Sched

IntArray = NDArray[np.int64]

STATE_BITS = 8


@dataclass(frozen=True)
class Counter:
    """One thread's or control group's looks, by time.

    Attributes:
        begin: When each look began, ns.
        end: When it ended.
        values: One row per look: for a thread CPU ns, run delay ns, time slices, state; for a group how often
            and how long (ns) it was throttled.
        arch: Of the system calls in states.
    """

    begin: IntArray
    end: IntArray
    values: IntArray
    arch: int = 0

    def gained(self, start: IntArray, length: IntArray, column: int) -> IntArray:
        """Return by how much a column grew around each span; 0 where there was no look before it."""
        before = np.searchsorted(self.end, start, "right") - 1
        after = np.minimum(np.searchsorted(self.begin, start + length, "left"), len(self.begin) - 1)
        values = self.values[:, column]
        gained: IntArray = np.where(before >= 0, values[after] - values[np.maximum(before, 0)], 0)
        return np.maximum(gained, 0)

    def width(self, start: IntArray, length: IntArray) -> IntArray:
        """Return how far apart the looks around each span lie, ns; 0 where there was none before it."""
        before = np.searchsorted(self.end, start, "right") - 1
        after = np.minimum(np.searchsorted(self.begin, start + length, "left"), len(self.begin) - 1)
        wide: IntArray = np.where(before >= 0, self.begin[after] - self.end[np.maximum(before, 0)], 0)
        return np.maximum(wide, 0)

    def unusual(self, start: IntArray, length: IntArray, column: int) -> IntArray:
        """Return by how much a column grew in each span beyond what it grows in the median one."""
        return beyond_usual(self.gained(start, length, column), self.width(start, length), length)

    def states(self, start: int, length: int) -> list[tuple[str, int | None]]:
        """Return the states seen inside a span: (letter, number of the system call or None)."""
        inside = (self.begin >= start) & (self.end <= start + length) & (self.values[:, 3] != 0)
        found = []
        for word in self.values[inside, 3].tolist():
            call = word >> STATE_BITS
            found.append((chr(word & 0xFF), call - 1 if call else None))
        return found


@dataclass(frozen=True)
class Scheduling:
    """All looks of a capture.

    Attributes:
        threads: By (process, thread).
        groups: By directory of the control group.
    """

    threads: dict[tuple[int, int], Counter]
    groups: dict[bytes, Counter]

    @classmethod
    def of(cls, pieces: Iterable[NDArray[np.void]], text: Callable[[int], bytes]) -> Scheduling | None:
        """Pick the SCHED records out of a capture's chunks; None when there are none."""
        parts = [piece[piece["kind"] == Kind.SCHED] for piece in pieces]
        records = np.concatenate(parts) if parts else np.empty(0, RECORD)
        if not len(records):
            return None
        of_group = records["nr"] == Sched.GROUP
        threads = records[~of_group]
        keys = np.unique(np.stack([threads["pid"], threads["tid"]], axis=1), axis=0).tolist()
        groups = records[of_group]
        return cls(
            {
                (pid, tid): _counter(threads[(threads["pid"] == pid) & (threads["tid"] == tid)])
                for pid, tid in keys
            },
            {
                text(reference): _counter(groups[groups["text"] == reference])
                for reference in np.unique(groups["text"]).tolist()
            },
        )

    def throttled(self, start: IntArray, length: IntArray) -> tuple[IntArray, bytes] | None:
        """Return how long the group that was throttled most was so around each span, and its directory."""
        best: tuple[IntArray, bytes] | None = None
        for directory, counter in self.groups.items():
            gained = counter.unusual(start, length, 1)
            if best is None or gained.sum() > best[0].sum():
                best = gained, directory
        return best


def _counter(records: NDArray[np.void]) -> Counter:
    begin = records["start"].astype(np.int64)
    order = np.argsort(begin, kind="stable")
    records, begin = records[order], begin[order]
    end = begin + records["duration"].astype(np.int64)
    return Counter(begin, end, records["args"][:, :4].astype(np.int64), int(records["arch"][0]))


def beyond_usual(gained: IntArray, wide: IntArray, length: IntArray) -> IntArray:
    """Return what counters gained in spans beyond the median span.

    Args:
        gained: Between the looks around each span.
        wide: How far apart these looks are, ns.
        length: How long each span is, ns.
    """
    if not len(gained):
        return gained
    share = float(np.median(gained / np.maximum(wide, 1)))
    own = np.maximum(gained - share * np.maximum(wide - length, 0), 0)
    unusual: IntArray = np.maximum(own - np.median(own), 0).astype(np.int64)
    return unusual
