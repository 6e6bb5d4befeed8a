"""What the kernel's counters of waiting and throttling gained over spans of time.

Two looks bracket a span: the last one that ended before it and the first one that began after it. What the
counters gained between them is all that can lie in the span, and some from its neighbours: a bound from above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import RECORD, Kind, Sched

STATE_BITS = 8
READY = ord("R")
OPEN_WAIT_NS = 30_000_000
"""CPU time is counted at each tick, every 10 ms at the most: a thread that stands still for longer doesn't run."""


@dataclass(frozen=True)
class Counter:
    """One thread's or control group's looks, by time.

    Attributes:
        begin: When each look began, ns.
        end: When it ended.
        values: One row per look: a SCHED record's arguments.
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

    def until(self, moments: NDArray[np.int64], column: int) -> NDArray[np.float64]:
        """Return by how much a column had grown at moments, on a straight line between the looks."""
        values = self.values[:, column]
        return np.asarray(np.interp(moments, self._moments, values - values[0]), np.float64)

    def waited_until(self, moments: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how long a thread had waited for a CPU at moments, ns.

        The kernel counts a wait when it ends. One that is longer than the time between two looks lay before the
        first of them, too: a thread can't wait for longer than time passes.
        """
        waited, at = (self.values[:, 1] - self.values[0, 1]).astype(np.float64), self._moments
        known = np.maximum.accumulate((waited - at)[::-1])[::-1] + at
        return np.asarray(np.interp(moments, at, known), np.float64)

    @property
    def _moments(self) -> NDArray[np.float64]:
        middle: NDArray[np.float64] = (self.begin + self.end) / 2
        return middle

    def total(self, column: int) -> int:
        """Return by how much a column grew from the first look to the last."""
        return int(self.values[-1, column] - self.values[0, column])

    def states(self, start: int, length: int) -> list[tuple[str, int | None]]:
        """Return the states seen inside a span: (letter, number of the system call or None)."""
        inside = (self.begin >= start) & (self.end <= start + length) & (self.values[:, 3] != 0)
        found = []
        for word in self.values[inside, 3].tolist():
            call = word >> STATE_BITS
            found.append((chr(word & 0xFF), call - 1 if call else None))
        return found


@dataclass(frozen=True, slots=True)
class Allowed:
    """The CPUs that a thread may use from a moment on.

    Attributes:
        since: The moment, ns.
        cpus: As the kernel lists them.
        count: How many.
        cores: How many cores these are; two hyperthreads count once.
    """

    since: int
    cpus: str
    count: int
    cores: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another process that ran on the same CPUs while the program waited for them.

    Attributes:
        pid: Its number.
        name: Its name.
        cpus: How much it ran, in CPUs.
    """

    pid: int
    name: str
    cpus: float


@dataclass(frozen=True)
class Scheduling:
    """All looks of a capture.

    Attributes:
        threads: By (process, thread).
        groups: By directory of the control group.
        allowed: By (process, thread): since when it might use how many CPUs and cores (the columns), and which.
        machine: What CPUs did, by their list.
        neighbours: Other processes that ran on the same CPUs, those that ran most first.
    """

    threads: dict[tuple[int, int], Counter]
    groups: dict[bytes, Counter]
    allowed: dict[tuple[int, int], list[Allowed]] = field(default_factory=dict)
    machine: dict[bytes, Counter] = field(default_factory=dict)
    neighbours: tuple[Neighbour, ...] = ()

    @classmethod
    def of(cls, pieces: Iterable[NDArray[np.void]], text: Callable[[int], bytes]) -> Scheduling | None:
        """Pick the SCHED records out of a capture's chunks; None when there are none."""
        parts = [piece[piece["kind"] == Kind.SCHED] for piece in pieces]
        records = np.concatenate(parts) if parts else np.empty(0, RECORD)
        if not len(records):
            return None
        threads = _of(records, Sched.THREAD)
        keys = np.unique(np.stack([threads["pid"], threads["tid"]], axis=1), axis=0).tolist()
        return cls(
            {
                (pid, tid): _with_open_wait(
                    _counter(threads[(threads["pid"] == pid) & (threads["tid"] == tid)])
                )
                for pid, tid in keys
            },
            _by_text(_of(records, Sched.GROUP), text),
            _allowed(_of(records, Sched.AFFINITY), text),
            _by_text(_of(records, Sched.MACHINE), text),
            _neighbours(_of(records, Sched.NEIGHBOUR), text),
        )

    def throttled(self, start: IntArray, length: IntArray) -> tuple[IntArray, bytes] | None:
        """Return how long the group that was throttled most was so around each span, and its directory."""
        best: tuple[IntArray, bytes] | None = None
        for directory, counter in self.groups.items():
            gained = counter.unusual(start, length, 1)
            if best is None or gained.sum() > best[0].sum():
                best = gained, directory
        return best


def _of(records: NDArray[np.void], nr: Sched) -> NDArray[np.void]:
    found: NDArray[np.void] = records[records["nr"] == nr]
    return found


def _by_text(records: NDArray[np.void], text: Callable[[int], bytes]) -> dict[bytes, Counter]:
    return {
        text(reference): _counter(records[records["text"] == reference])
        for reference in np.unique(records["text"]).tolist()
    }


def _allowed(records: NDArray[np.void], text: Callable[[int], bytes]) -> dict[tuple[int, int], list[Allowed]]:
    found: dict[tuple[int, int], list[Allowed]] = {}
    for record in records[np.argsort(records["start"], kind="stable")]:
        count, cores = (int(word) for word in record["args"][:2])
        one = Allowed(
            int(record["start"]), text(int(record["text"])).decode("ascii", "replace"), count, cores
        )
        found.setdefault((int(record["pid"]), int(record["tid"])), []).append(one)
    return found


def _neighbours(records: NDArray[np.void], text: Callable[[int], bytes]) -> tuple[Neighbour, ...]:
    found = [
        Neighbour(
            int(record["pid"]),
            text(int(record["text"])).decode("utf-8", "backslashreplace"),
            int(record["args"][0]) / max(int(record["duration"]), 1),
        )
        for record in records
    ]
    return tuple(sorted(found, key=lambda one: -one.cpus))


def _with_open_wait(counter: Counter) -> Counter:
    """Add what a thread had waited for a CPU when it was looked at last, and still waited.

    The kernel counts a wait when it ends. A thread that was ready and hadn't run for several looks is in one.
    """
    values = counter.values
    same = (values[:, :3] == values[-1, :3]).all(axis=1)
    trailing = len(same) - int(np.argmin(same[::-1])) if not same.all() else 0
    ready = np.flatnonzero((values[trailing:, 3] & 0xFF) == READY)
    if not len(ready):
        return counter
    waited = int(counter.end[-1] - counter.begin[trailing + int(ready[0])])
    if waited < OPEN_WAIT_NS:
        return counter
    changed = values.copy()
    changed[-1, 1] += waited
    return replace(counter, values=changed)


def _counter(records: NDArray[np.void]) -> Counter:
    begin = records["start"].astype(np.int64)
    order = np.argsort(begin, kind="stable")
    records, begin = records[order], begin[order]
    end = begin + records["duration"].astype(np.int64)
    return Counter(begin, end, records["args"].astype(np.int64), int(records["arch"][0]))


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
