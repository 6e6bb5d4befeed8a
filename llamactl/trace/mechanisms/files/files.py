"""Files, sockets and devices: opens, bytes each way, time; and files that were left behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.syscalls.transfers import given, reading, taken
from llamactl.trace.mechanisms.view import View, codes_of

_O_CREAT, _O_EXCL = 0o100, 0o200
_O_DIRECT = (0o40000, 0o200000)
"""By architecture: x86-64, aarch64."""

_MAP_ANONYMOUS = 0x20

_ENOENT = -2
_F_LOCKS = (6, 7, 37, 38)
"""F_SETLK, F_SETLKW and those of open file descriptions (fcntl(2))."""
_NEVER = np.iinfo(np.int64).max

_COLUMNS = (
    "opens", "open_errors", "calls", "read_bytes", "written_bytes", "mapped_bytes", "direct_opens", "creates",
    "exclusive", "locks", "total_ns", "read_ns", "unfinished",
)  # fmt: skip


_MOMENTS = ("missed", "made")
"""When a name was looked for and not there, and when it was opened to be made."""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One path, socket or device, as the program named it; ``count`` is the calls on it, opens included."""

    name: bytes
    count: int
    opens: int
    open_errors: int
    read_bytes: int
    written_bytes: int
    mapped_bytes: int
    total_ns: int
    read_ns: int
    unfinished: int
    """Calls on it that were still under way when recording ended: their time is what was seen of it."""
    direct_opens: int
    """Opens with O_DIRECT."""
    created: bool
    """Opened with O_CREAT, which may have found it there."""
    new: bool
    """Surely made here: by O_EXCL, or it wasn't there before."""
    locked: bool
    """Used for a file lock (flock(2), fcntl(2))."""
    removed: bool
    unseen: bool
    """A process that opened it has an io_uring, through which any of its bytes may have gone uncounted."""


class FileTable:
    """Adds up by name.

    Args:
        names: The numbers of names, as the descriptors' table hands them out.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._columns = np.zeros((len(_COLUMNS), 1024))
        self._removed: set[int] = set()
        self._first_at = np.full((len(_MOMENTS), 1024), _NEVER)
        self._flock = codes_of({"flock"})
        self._fcntl = codes_of({"fcntl"})
        self._open = codes_of({"open", "openat", "creat", "openat2", "memfd_create"})
        self._openat = codes_of({"openat"})
        self._plain_open = codes_of({"open"})
        self._creat = codes_of({"creat"})
        self._mmap = codes_of({"mmap"})
        self._remove = codes_of({"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2"})

    def add(self, view: View, resolved: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Count a piece.

        Args:
            view: The piece.
            resolved: What :meth:`FdTable.resolve` returned for it.
            other: ``FdTable.other`` after that.
        """
        opens = self._open[view.code]
        self._opens(view, np.flatnonzero(opens))
        rows = np.flatnonzero((resolved != NO_NAME) & ~opens)
        name, code = resolved[rows], view.code[rows]
        self._sum("calls", name)
        self._sum("total_ns", name, view.duration[rows])
        self._sum("unfinished", name[view.under_way[rows]])
        self._moves(view, resolved, other)
        mapped = self._mmap[code] & ~view.failed[rows]
        self._sum("mapped_bytes", name[mapped], view.argument(1, rows[mapped]))
        self._locks(view, rows, name)
        missing = np.flatnonzero((resolved != NO_NAME) & (view.ret == _ENOENT))
        self._first("missed", resolved[missing], view.start[missing])
        removed = np.flatnonzero(self._remove[view.code] & (view.ret == 0))
        if len(removed):
            self._removed |= set(self._names.numbers(view.field("text", removed)).tolist())

    def _moves(self, view: View, resolved: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        for column, moved in (("read_bytes", taken), ("written_bytes", given)):
            rows, name = moved(view, resolved, other)
            rows, name = rows[name != NO_NAME], name[name != NO_NAME]
            self._sum(column, name, view.ret[rows])
        rows, name = reading(view, resolved, other)
        self._sum("read_ns", name[name != NO_NAME], view.duration[rows[name != NO_NAME]])

    def rows(self, unseen: frozenset[bytes] = frozenset()) -> list[FileRow]:
        """Return the files that were used, those with the most bytes first.

        Args:
            unseen: Names of files whose bytes may have gone uncounted.
        """
        table = dict(zip(_COLUMNS, self._columns.astype(np.int64), strict=True))
        used = np.flatnonzero(
            sum(table[column] for column in ("calls", "opens", "open_errors", "unfinished"))
        )
        rows = [self._row(int(number), table, unseen) for number in used if number < len(self._names)]
        return sorted(
            rows, key=lambda row: (-max(row.mapped_bytes, row.read_bytes + row.written_bytes), -row.count)
        )

    def _row(self, number: int, table: dict[str, NDArray[np.int64]], unseen: frozenset[bytes]) -> FileRow:
        opens, errors = int(table["opens"][number]), int(table["open_errors"][number])
        return FileRow(
            name=self._names.name(number),
            count=int(table["calls"][number]) + opens + errors,
            opens=opens,
            open_errors=errors,
            created=bool(table["creates"][number]),
            new=bool(table["exclusive"][number]) or self._was_missing(number),
            locked=bool(table["locks"][number]),
            removed=number in self._removed,
            unseen=self._names.name(number) in unseen,
            **{
                key: int(table[key][number])
                for key in (
                    "read_bytes",
                    "written_bytes",
                    "mapped_bytes",
                    "total_ns",
                    "read_ns",
                    "unfinished",
                    "direct_opens",
                )
            },
        )

    def _was_missing(self, number: int) -> bool:
        """Tell whether a name was looked for in vain before it was made."""
        if number >= self._first_at.shape[1]:
            return False
        missed, made = self._first_at[:, number].tolist()
        return bool(missed < made < _NEVER)

    def _opens(self, view: View, rows: NDArray[np.int64]) -> None:
        if not len(rows):
            return
        name = self._names.numbers(view.field("text", rows))
        known = name != NO_NAME
        rows, name = rows[known], name[known]
        good = (view.ret[rows] >= 0) & view.finished[rows]
        self._sum("opens", name[good])
        self._sum("open_errors", name[view.failed[rows]])
        self._sum("unfinished", name[view.under_way[rows]])
        self._sum("total_ns", name, view.duration[rows])
        code, args = view.code[rows], view.field("args", rows)
        flags = np.where(self._openat[code], args[:, 2], np.where(self._plain_open[code], args[:, 1], 0))
        direct = np.where(view.field("arch", rows) == 1, _O_DIRECT[1], _O_DIRECT[0])
        self._sum("direct_opens", name[good & ((flags & direct.astype(np.uint64)) != 0)])
        created = ((flags & np.uint64(_O_CREAT)) != 0) | self._creat[code]
        self._sum("creates", name[good & created])
        self._sum("exclusive", name[good & created & ((flags & np.uint64(_O_EXCL)) != 0)])
        self._first("made", name[good & created], view.start[rows][good & created])

    def _locks(self, view: View, rows: NDArray[np.int64], name: NDArray[np.int64]) -> None:
        code = view.code[rows]
        command = view.argument(1, rows) & np.uint64(0xFFFFFFFF)
        self._sum("locks", name[self._flock[code] | (self._fcntl[code] & np.isin(command, _F_LOCKS))])

    def _first(self, moment: str, name: NDArray[np.int64], when: NDArray[np.int64]) -> None:
        """Keep the first moment of each name, ns."""
        while self._first_at.shape[1] < len(self._names):
            self._first_at = np.concatenate([self._first_at, np.full_like(self._first_at, _NEVER)], axis=1)
        np.minimum.at(self._first_at[_MOMENTS.index(moment)], name, when)

    def _sum(self, column: str, name: NDArray[np.int64], weights: NDArray[np.generic] | None = None) -> None:
        size = self._columns.shape[1]
        while size < len(self._names):
            self._columns = np.concatenate([self._columns, np.zeros_like(self._columns)], axis=1)
            size *= 2
        if len(name):
            self._columns[_COLUMNS.index(column)] += np.bincount(name, weights, minlength=size)
