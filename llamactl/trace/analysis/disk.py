"""Bytes that came from the disk against bytes that the page cache had, while loading and while generating.

What a program takes from files comes in two ways: it reads them, which system calls tell, or pages of a mapping come
in, which ``RssFile`` (proc_pid_status(5)) tells, with and without page faults. How much of both the disk gave is
``read_bytes`` (proc_pid_io(5)). The rest was in the page cache. Both counters are sampled a few times a second: what
a step between two samples gained belongs to a part of the run surely when the whole step lies in it, possibly when
they touch. So each figure is a least and a most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.names import NO_NAME, Names
from llamactl.trace.analysis.phases import Phases
from llamactl.trace.analysis.view import View, codes_of
from llamactl.trace.syscalls.table import numbers

if TYPE_CHECKING:
    from llamactl.trace.analysis.counters import CounterTable

PARTS = {"load": ("load",), "prompt": ("prefill",), "generate": ("decode", "sample")}
WHOLE = "all"

_READS = ("read", "pread64", "readv", "preadv", "preadv2")
_NOT_STORED = (b"/proc/", b"/sys/", b"/dev/")

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """At least and at most so many bytes; None where that isn't known."""

    least: int | None = None
    most: int | None = None


UNKNOWN = Bounds()


@dataclass(frozen=True, slots=True)
class DiskRow:
    """One part of the run: ``load``, ``prompt``, ``generate`` or ``all``.

    ``disk`` and ``mapped`` are of the program's first process and of children that it waited for, ``read_bytes`` of
    all recorded processes.
    """

    name: str
    count: int
    """Steps between two samples that touch it."""
    disk: Bounds
    """Fetched from storage, read-ahead included. Not counted by FUSE and 9p."""
    read_bytes: int | None
    """Returned by read calls on files; None when those weren't recorded."""
    mapped: Bounds
    """Pages of files that came into its memory."""
    cache: Bounds
    """Of what was read and mapped, what came from the page cache."""


class DiskTable:
    """Adds up what read calls on files returned, by part of the run.

    Args:
        phases: The phases of the capture.
        names: Their names tell files from sockets and pipes.
        metadata: The capture's.
    """

    def __init__(self, phases: Phases, names: Names, metadata: dict[str, Any]) -> None:
        self._phases = phases
        self._names = names
        self._reading = codes_of(_READS)
        self._read = np.zeros(len(phases.names) + 1)
        self._stored = bytearray()
        self._metadata = metadata
        selection = metadata.get("selection")
        arch = 1 if metadata.get("machine") == "aarch64" else 0
        wanted = [numbers(arch)[name] for name in ("read", "pread64")]
        self._complete = not isinstance(selection, list) or set(wanted) <= set(selection)

    def add(self, view: View, resolved: IntArray) -> None:
        """Count the reads of a piece, given what ``FdTable.resolve`` returned for it."""
        rows = np.flatnonzero(self._reading[view.code])
        rows = rows[(view.ret[rows] > 0) & (resolved[rows] != NO_NAME)]
        if not len(rows):
            return
        for number in range(len(self._stored), len(self._names)):
            self._stored.append(_is_stored(self._names.name(number)))
        rows = rows[np.frombuffer(self._stored, bool)[resolved[rows]]]
        phase = view.phase(self._phases)[rows]
        self._read += np.bincount(phase, view.ret[rows], minlength=len(self._read))

    def rows(self, counters: CounterTable, begin_ns: int, end_ns: int) -> list[DiskRow]:
        """Return each part that occurred, then the whole; empty when nothing was sampled.

        Args:
            counters: The samples.
            begin_ns: The first moment of the capture.
            end_ns: The last one.
        """
        fresh = self._metadata.get("attached") is False
        total = self._metadata.get("disk_read_bytes")
        disk = _Steps(*counters.series("read_bytes"), begin_ns if fresh else None)
        if isinstance(total, int):
            disk = disk.until(end_ns, total)
        mapped = _Steps(*counters.series("file_rss_bytes"), begin_ns if fresh else None)
        if not disk.known and not mapped.known:
            return []
        parts = [self._row(name, disk, mapped) for name in PARTS if self._intervals(name)[0].size]
        whole = (np.array([begin_ns]), np.array([end_ns]))
        everything = self._make(
            WHOLE, int(self._read.sum()), disk.gained(whole, ()), mapped.gained(whole, ())
        )
        return [*parts, everything]

    def _row(self, name: str, disk: _Steps, mapped: _Steps) -> DiskRow:
        mine = self._intervals(name)
        others = tuple(self._intervals(other) for other in PARTS if other != name)
        members = [self._phases.names.index(phase) for phase in PARTS[name] if phase in self._phases.names]
        read = int(self._read[members].sum())
        return self._make(name, read, disk.gained(mine, others), mapped.gained(mine, others))

    def _make(self, name: str, read: int, disk: tuple[int, Bounds], mapped: tuple[int, Bounds]) -> DiskRow:
        known = read if self._complete else None
        return DiskRow(
            name, max(disk[0], mapped[0]), disk[1], known, mapped[1], _cached(known, disk[1], mapped[1])
        )

    def _intervals(self, name: str) -> tuple[IntArray, IntArray]:
        phases = self._phases
        numbers = [index for index, phase in enumerate(phases.names) if phase in PARTS[name]]
        mine = np.isin(phases.number, numbers)
        return phases.start[mine], phases.end[mine]


class _Steps:
    """What a counter gained between samples.

    Args:
        moment: When each sample was taken, ns, rising.
        value: What it was.
        from_zero: When the counter was surely 0; None for a program that ran before.
    """

    def __init__(self, moment: IntArray, value: IntArray, from_zero: int | None) -> None:
        if from_zero is not None and len(moment) and moment[0] > from_zero:
            moment, value = np.append(from_zero, moment), np.append(0, value)
        self.moment, self.value = moment, value

    @property
    def known(self) -> bool:
        return len(self.moment) > 1

    def until(self, moment: int, value: int) -> _Steps:
        """Return the steps with a last one, to the counter's value when the program had ended."""
        if not len(self.moment) or moment <= self.moment[-1]:
            return self
        # It may count more than the samples did, but not less: rusage(2) is in blocks of 512 bytes.
        return _Steps(np.append(self.moment, moment), np.append(self.value, max(value, self.value[-1])), None)

    def gained(
        self, mine: tuple[IntArray, IntArray], others: tuple[tuple[IntArray, IntArray], ...]
    ) -> tuple[int, Bounds]:
        """Return how many steps touch a part, and what it gained; losses aren't taken off.

        Args:
            mine: Beginnings and ends of the part's intervals.
            others: Those of the other parts.
        """
        if not self.known:
            return 0, UNKNOWN
        low, high = self.moment[:-1], self.moment[1:]
        gain = np.maximum(np.diff(self.value), 0)
        touching = _touch(low, high, mine)
        begin, end = int(mine[0].min()), int(mine[1].max())
        surely = touching & (low >= begin) & (high <= end)
        for other in others:
            surely &= ~_touch(low, high, other)
        covered = begin >= int(self.moment[0]) and end <= int(self.moment[-1])
        most = int(gain[touching].sum()) if covered else None
        return int(touching.sum()), Bounds(int(gain[surely].sum()), most)


def _touch(low: IntArray, high: IntArray, intervals: tuple[IntArray, IntArray]) -> NDArray[np.bool_]:
    """Return which steps have a moment in common with one of the intervals."""
    begun = np.searchsorted(intervals[0], high, side="left")
    over = np.searchsorted(intervals[1], low, side="right")
    touching: NDArray[np.bool_] = begun > over
    return touching


def _cached(read: int | None, disk: Bounds, mapped: Bounds) -> Bounds:
    """Return what was read and mapped and didn't come from the disk; read-ahead makes the disk's share larger."""
    if read is None or disk.least is None or mapped.least is None:
        return UNKNOWN
    least = 0 if disk.most is None else max(read + mapped.least - disk.most, 0)
    most = None if mapped.most is None else max(read + mapped.most - disk.least, 0)
    return Bounds(least, most)


def _is_stored(name: bytes) -> bool:
    return name.startswith(b"/") and not name.startswith(_NOT_STORED)
