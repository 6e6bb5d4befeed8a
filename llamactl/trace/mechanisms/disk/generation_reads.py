"""Whose reads they are while tokens are made: the model's pages, or another file and the process that reads it.

What comes from the disk is counted by process, not by file. What tells the file are read calls, and the mapping in
which a thread waited for a page (a major fault).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.disk.disk import PARTS
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.syscalls.transfers import taken
from llamactl.trace.mechanisms.view import View

_PID_BITS = 32


@dataclass(frozen=True, slots=True)
class Reader:
    """What a process got from one file by read calls."""

    name: bytes
    pid: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class PageIn:
    """Major page faults in mappings of one role and file."""

    name: str
    role: str
    major_faults: int


@dataclass(frozen=True, slots=True)
class GenerationReads:
    """Who read what, and whose pages were waited for, while tokens were made.

    Attributes:
        readers: Processes and the files that they read, the most bytes first; empty also where it isn't recorded.
        page_ins: Mappings whose pages were waited for, the most first; None where that isn't recorded.
        reads_known: Whether read calls were recorded.
    """

    readers: list[Reader]
    page_ins: list[PageIn] | None
    reads_known: bool


class ReaderTable:
    """Adds up what read calls returned while tokens were made, by file and process.

    Args:
        phases: The phases of the capture.
        names: Names by number.
    """

    def __init__(self, phases: Phases, names: Names) -> None:
        self._phases = phases
        self._names = names
        self._bytes: dict[int, int] = {}

    def add(self, view: View, resolved: IntArray, other: IntArray) -> None:
        """Count the reads of a piece, given what ``FdTable`` found for it."""
        rows, name = taken(view, resolved, other)
        mine = (name != NO_NAME) & generating(self._phases)[view.phase(self._phases)[rows]]
        rows, name = rows[mine], name[mine]
        keys, index = np.unique(name << _PID_BITS | view.pid[rows], return_inverse=True)
        sums = np.bincount(index, view.ret[rows], minlength=len(keys)).astype(np.int64)
        for key, total in zip(keys.tolist(), sums.tolist(), strict=True):
            self._bytes[key] = self._bytes.get(key, 0) + total

    def rows(self) -> list[Reader]:
        """Return the readers of files with a path, the one that read most first."""
        found = [
            Reader(self._names.name(key >> _PID_BITS), key & (1 << _PID_BITS) - 1, total)
            for key, total in self._bytes.items()
        ]
        return sorted((row for row in found if row.name.startswith(b"/")), key=lambda row: -row.read_bytes)


def generating(phases: Phases) -> NDArray[np.bool_]:
    """Return by phase number, that of "outside" included, whether tokens are made in it."""
    return np.array([name in PARTS["generate"] for name in phases.names] + [False])


def none_waited(series: Mapping[int, tuple[IntArray, IntArray]], pids: set[int], phases: Phases) -> bool:
    """Tell by counters of major faults whether surely no thread of some processes waited for a page meanwhile.

    Args:
        series: Moments (ns, rising) and major faults by process.
        pids: The processes.
        phases: When tokens were made: from the sample before the first to the one after the last.
    """
    mine = generating(phases)[phases.number]
    if not mine.any():
        return False
    begin, end = int(phases.start[mine].min()), int(phases.end[mine].max())
    return bool(pids) and all(pid in series and _same(*series[pid], begin, end) for pid in pids)


def _same(moments: IntArray, values: IntArray, begin: int, end: int) -> bool:
    before, after = int(np.searchsorted(moments, begin, "right")) - 1, int(np.searchsorted(moments, end))
    return before >= 0 and after < len(moments) and bool(values[before] == values[after])
