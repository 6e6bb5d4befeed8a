"""What a recording can't count: bytes that move without a call that tells how many, or without a call that was recorded.

io_uring takes requests from memory that the program shares with the kernel (io_uring(7)), so its calls name neither
file nor size. A descriptor that was inherited, or received over a socket (SCM_RIGHTS), has no name here. And what ``-e``
left out isn't there at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.decode.table import ARCH_NAMES, numbers
from llamactl.trace.mechanisms.inner import INNER
from llamactl.trace.mechanisms.mapping.mapping_rows import MappingRow
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.syscalls.transfers import FILE_READS, FILE_WRITES
from llamactl.trace.mechanisms.view import View, codes_of

_OPENS = ("open", "openat", "openat2", "creat")
_KEPT = 200_000
"""Pairs of file and process; more files are taken for seen."""
_PID_BITS = 32
_NO_FILES = ("/dev/", "/memfd:")
"""Mapped to be shared by processes, not to be kept: semaphores, shared memory, devices."""


@dataclass(frozen=True, slots=True)
class BlindSpots:
    """What isn't in the figures of a report.

    Attributes:
        io_uring_calls: Calls that hand requests over; each may move any number of bytes of any file.
        io_uring_files: Files that a process with such a ring opened.
        vmsplice_calls: Calls that put memory into a pipe, or take it out.
        unnamed_read_bytes: Read from descriptors whose file isn't known.
        unnamed_written_bytes: Written to such ones.
        foreign_calls: Calls of programs of another architecture (32 bits): known by number alone.
        written_mappings: Files that were mapped to be written: what is written there makes no call.
        opens: Whether opening files was recorded at all; so for the others.
        reads: Reading files.
        writes: Writing them.
        maps: Mapping memory, by calls or by the engine.
        futexes: Waiting for locks.
    """

    io_uring_calls: int = 0
    io_uring_files: frozenset[bytes] = field(default=frozenset(), metadata=INNER)
    vmsplice_calls: int = 0
    unnamed_read_bytes: int = 0
    unnamed_written_bytes: int = 0
    foreign_calls: int = 0
    written_mappings: int = 0
    opens: bool = True
    reads: bool = True
    writes: bool = True
    maps: bool = True
    futexes: bool = True

    @property
    def files_known(self) -> bool:
        """Whether the figures on files are all there is."""
        unseen = (
            self.io_uring_calls or self.vmsplice_calls or self.unnamed_read_bytes or self.written_mappings
            or self.foreign_calls
        )  # fmt: skip
        return self.opens and self.reads and self.writes and not (unseen or self.unnamed_written_bytes)


class BlindTable:
    """Collects what can't be counted.

    Args:
        names: Names by number.
        metadata: The capture's: what was recorded.
    """

    def __init__(self, names: Names, metadata: dict[str, Any]) -> None:
        self._names = names
        self._metadata = metadata
        self._ring = codes_of({"io_uring_setup", "io_uring_enter"})
        self._vmsplice = codes_of({"vmsplice"})
        self._open = codes_of(_OPENS)
        self._moving = (codes_of(FILE_READS), codes_of(FILE_WRITES))
        self._rings: dict[int, int] = {}
        self._opened: set[int] = set()
        self._spliced = self._foreign = 0
        self._unnamed = [0, 0]

    def add(self, view: View, resolved: IntArray) -> None:
        """Look at a piece, given what ``FdTable.resolve`` returned for it."""
        ring = view.pid[self._ring[view.code]]
        for pid, count in zip(
            *(column.tolist() for column in np.unique(ring, return_counts=True)), strict=True
        ):
            self._rings[pid] = self._rings.get(pid, 0) + count
        self._spliced += int(self._vmsplice[view.code].sum())
        self._foreign += int((view.field("arch") >= len(ARCH_NAMES)).sum())
        opens = np.flatnonzero(self._open[view.code] & (resolved != NO_NAME) & (view.ret >= 0))
        if len(self._opened) < _KEPT:
            self._opened |= set(np.unique(resolved[opens] << _PID_BITS | view.pid[opens]).tolist())
        for index, codes in enumerate(self._moving):
            rows = np.flatnonzero(codes[view.code] & (resolved == NO_NAME) & (view.ret > 0))
            self._unnamed[index] += int(view.ret[rows].sum())

    def found(self, mappings: list[MappingRow]) -> BlindSpots:
        """Return the blind spots, given all mappings of the capture."""
        files = {
            self._names.name(key >> _PID_BITS)
            for key in self._opened
            if self._rings and key & (1 << _PID_BITS) - 1 in self._rings
        }
        return BlindSpots(
            io_uring_calls=sum(self._rings.values()),
            io_uring_files=frozenset(files),
            vmsplice_calls=self._spliced,
            unnamed_read_bytes=self._unnamed[0],
            unnamed_written_bytes=self._unnamed[1],
            foreign_calls=self._foreign,
            written_mappings=len({row.name for row in mappings if _written(row)}),
            opens=_recorded(self._metadata, "openat"),
            reads=_recorded(self._metadata, "read", "pread64"),
            writes=_recorded(self._metadata, "write", "pwrite64"),
            maps=_recorded(self._metadata, "mmap") or self._metadata.get("engine") == "perf",
            futexes=_recorded(self._metadata, "futex"),
        )


def _written(row: MappingRow) -> bool:
    """Tell whether a mapping of a file on a file system may be written through."""
    return (
        row.shared
        and "w" in row.protection
        and row.name.startswith("/")
        and not row.name.startswith(_NO_FILES)
    )


def _recorded(metadata: dict[str, Any], *names: str) -> bool:
    """Tell whether all of these calls were recorded."""
    selection = metadata.get("selection")
    arch = 1 if metadata.get("machine") == "aarch64" else 0
    return not isinstance(selection, list) or {numbers(arch)[name] for name in names} <= set(selection)
