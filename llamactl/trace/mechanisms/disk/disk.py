"""Bytes that came from the disk against bytes that the page cache had, while loading and while generating.

What a program takes from files comes in two ways: it reads them, which system calls tell, or pages of a mapping come
in, which ``RssFile`` (proc_pid_status(5)) tells, with and without page faults. How much of both the disk gave is
``read_bytes`` (proc_pid_io(5)). The rest was in the page cache. Both counters of each process are sampled a few times
a second: what a step between two samples gained belongs to a part of the run surely when the whole step lies in it,
possibly when they touch. So each figure is a least and a most; where a process was there and nobody looked, there is
no most.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.memory.counter_steps import Intervals, Steps
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots
from llamactl.trace.mechanisms.syscalls.transfers import taken
from llamactl.trace.mechanisms.view import View

PARTS = {"load": ("load",), "prompt": ("prefill",), "generate": ("decode", "sample")}
WHOLE = "all"

NOTABLE_BYTES = 2**20
"""Less than this from the disk is a library's or a locale's page here and there, not a model."""

_NOT_STORED = (b"/proc/", b"/sys/", b"/dev/")


@dataclass(frozen=True, slots=True)
class Bounds:
    """At least and at most so many bytes; None where that isn't known."""

    least: int | None = None
    most: int | None = None


UNKNOWN = Bounds()


@dataclass(frozen=True, slots=True)
class DiskRow:
    """One part of the run: ``load``, ``prompt``, ``generate`` or ``all``.

    All figures are of all recorded processes together.
    """

    name: str
    count: int
    """Steps between two samples that touch it."""
    disk: Bounds
    """Fetched from storage, read-ahead included. Not counted by FUSE and 9p."""
    read_bytes: int | None
    """Returned by read calls on files; None when those weren't recorded, or io_uring was used."""
    mapped: Bounds
    """Pages of files that came into its memory."""
    cache: Bounds
    """Of what was read and mapped, what came from the page cache."""


class DiskVerdict(Enum):
    """What the rows say of the time in which prompts were read and tokens made."""

    NOTHING = "nothing"
    """Nothing notable came from the disk, in the whole run or at least in that time."""
    READS = "reads"
    NOT_JUDGED = "not judged"
    """No token was made: reading from the disk is what files are for."""
    UNKNOWN = "unknown"


def judge(rows: list[DiskRow]) -> DiskVerdict:
    """Judge what came from the disk: unknown is never nothing."""
    by_name = {row.name: row.disk for row in rows}
    generating = [by_name[name] for name in ("prompt", "generate") if name in by_name]
    if sum(disk.least or 0 for disk in generating) >= NOTABLE_BYTES:
        return DiskVerdict.READS
    everything = by_name.get(WHOLE, UNKNOWN)
    if _little([everything]) or (generating and _little(generating)):
        return DiskVerdict.NOTHING
    if generating or everything.least is None or (not everything.least and everything.most is None):
        return DiskVerdict.UNKNOWN
    return DiskVerdict.NOT_JUDGED


def _little(parts: list[Bounds]) -> bool:
    most = [disk.most for disk in parts]
    return all(one is not None for one in most) and sum(one or 0 for one in most) < NOTABLE_BYTES


class DiskTable:
    """Adds up what read calls on files returned, by part of the run.

    Args:
        phases: The phases of the capture.
        names: Their names tell files from sockets and pipes.
    """

    def __init__(self, phases: Phases, names: Names) -> None:
        self._phases = phases
        self._names = names
        self._read = np.zeros(len(phases.names) + 1)
        self._stored = bytearray()
        self._known = True

    def add(self, view: View, resolved: IntArray, other: IntArray) -> None:
        """Count the reads of a piece, given what ``FdTable`` found for it."""
        rows, name = taken(view, resolved, other)
        rows, name = rows[name != NO_NAME], name[name != NO_NAME]
        if not len(rows):
            return
        for number in range(len(self._stored), len(self._names)):
            self._stored.append(_is_stored(self._names.name(number)))
        rows = rows[np.frombuffer(self._stored, bool)[name]]
        phase = view.phase(self._phases)[rows]
        self._read += np.bincount(phase, view.ret[rows], minlength=len(self._read))

    def rows(
        self, disk: Steps, mapped: Steps, begin_ns: int, end_ns: int, blind: BlindSpots
    ) -> list[DiskRow]:
        """Return each part that occurred, then the whole; empty when nothing was sampled.

        Args:
            disk: What was fetched from storage, from :func:`fetched`.
            mapped: What came into page tables, from :func:`mapped_in`.
            begin_ns: The first moment of the capture.
            end_ns: The last one.
            blind: With io_uring, or without read calls, what was read is unknown.
        """
        self._known = blind.reads and not (blind.io_uring_calls or blind.foreign_calls)
        if not disk.known and not mapped.known:
            return []
        parts = [self._row(name, disk, mapped) for name in PARTS if self._intervals(name)[0].size]
        whole = (np.array([begin_ns]), np.array([end_ns]))
        everything = self._make(
            WHOLE, int(self._read.sum()), gained(disk, whole, ()), gained(mapped, whole, ())
        )
        return [*parts, everything]

    def _row(self, name: str, disk: Steps, mapped: Steps) -> DiskRow:
        mine = self._intervals(name)
        others = tuple(self._intervals(other) for other in PARTS if other != name)
        members = [self._phases.names.index(phase) for phase in PARTS[name] if phase in self._phases.names]
        read = int(self._read[members].sum())
        return self._make(name, read, gained(disk, mine, others), gained(mapped, mine, others))

    def _make(self, name: str, read: int, disk: tuple[int, Bounds], mapped: tuple[int, Bounds]) -> DiskRow:
        known = read if self._known else None
        return DiskRow(
            name, max(disk[0], mapped[0]), disk[1], known, mapped[1], _cached(known, disk[1], mapped[1])
        )

    def _intervals(self, name: str) -> tuple[IntArray, IntArray]:
        phases = self._phases
        numbers = [index for index, phase in enumerate(phases.names) if phase in PARTS[name]]
        mine = np.isin(phases.number, numbers)
        return phases.start[mine], phases.end[mine]


def gained(steps: Steps, mine: Intervals, others: tuple[Intervals, ...]) -> tuple[int, Bounds]:
    """Return how many steps touch a part, and what it gained at least and at most.

    Args:
        steps: Those of all processes.
        mine: Beginnings and ends of the part's intervals.
        others: Those of the other parts.
    """
    if not steps.known:
        return 0, UNKNOWN
    touching = _touch(steps.low, steps.high, mine)
    surely = touching & (steps.low >= mine[0].min()) & (steps.high <= mine[1].max())
    for other in others:
        surely &= ~_touch(steps.low, steps.high, other)
    unseen = _touch(*steps.blind, mine).any()
    most = None if unseen else int(steps.gain[touching].sum())
    return int(touching.sum()), Bounds(int(steps.gain[surely].sum()), most)


def _touch(low: IntArray, high: IntArray, intervals: Intervals) -> NDArray[np.bool_]:
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
