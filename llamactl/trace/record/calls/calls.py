"""From what was caught outside to the records that the agent would have made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.record.calls.targets import (
    CALLBACK_FUNCTIONS,
    FUNCTIONS,
    GIL_FUNCTIONS,
    Found,
    Kept,
    function_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALLER = 5
"""The argument in which our C hands over the address that a call returns to."""
UNKNOWN = 2**64 - 1
MAPS_READ_AT_MOST = 50
HISTORY = 64
FOREIGN_INTERFACES = ("_ctypes.", "_cffi_backend.")
UNKNOWN_CALLER = "unknown"
WAITED, CALLED_BACK = 1, 2
"""Numbers of GIL records."""


class CallTable:
    """Gives calls their functions' rows, with the object that called, and makes GIL records.

    Args:
        found: The functions caught; a raw record's ``nr`` is an index into ``found.targets``.
        kept: What is kept of each target's arguments.
        functions: Where rows are added, so that several processes of one capture have one table.
    """

    def __init__(
        self, found: Found, kept: Sequence[Kept | None], functions: list[Function] | None = None
    ) -> None:
        self._rows: dict[tuple[int, str], int] = {}
        self._gil = _GilHistory()
        self._inside = _Callbacks()
        self.functions: list[Function] = [] if functions is None else functions
        self._use(found, kept)

    def _use(self, found: Found, kept: Sequence[Kept | None]) -> None:
        self._found = found
        self._kept = kept
        self._maps = found.maps
        self._reads = 0
        self._callers: dict[int, str] = {}
        names = np.array([target.name for target in found.targets], dtype=str)
        self._inner = np.array([Flag.INNER if target.inner else 0 for target in found.targets], np.uint8)
        self._switches = np.isin(names, GIL_FUNCTIONS)
        self._releases = names == GIL_FUNCTIONS[0]
        self._callbacks = np.isin(names, CALLBACK_FUNCTIONS)
        self._asks = names == CALLBACK_FUNCTIONS[0]
        self._sees_gil = bool(self._switches.any() or self._callbacks.any())

    @property
    def count(self) -> int:
        """How many targets there are."""
        return len(self._found.targets)

    @property
    def has_engine(self) -> bool:
        """Whether there are functions of llama.cpp among them."""
        return any(target.name.startswith(FUNCTIONS) for target in self._found.targets)

    def extend(self, found: Found, kept: Sequence[Kept | None]) -> None:
        """Add targets that were found later; their numbers follow those there are.

        Args:
            found: As it is now; ``targets`` are the new ones alone.
            kept: What is kept of theirs.
        """
        targets = (*self._found.targets, *found.targets)
        self._use(replace(found, targets=targets), [*self._kept, *kept])

    def translate(self, records: NDArray[np.void]) -> NDArray[np.void]:
        """Return the records as they go into a capture; those that aren't CALLs stay as they are.

        ``records`` is changed in place; a call of ``PyEval_RestoreThread`` becomes up to two GIL records, and so do
        a ``PyGILState_Ensure`` and its ``PyGILState_Release``.
        """
        rows = np.flatnonzero(records["kind"] == Kind.CALL)
        if not len(rows):
            return records
        targets = records["nr"][rows].astype(np.intp)
        records["nr"][rows] = self._rows_of(targets, records["args"][rows, CALLER])
        records["args"][rows, CALLER] = 0
        records["flags"][rows] |= self._inner[targets]
        switches = rows[self._switches[targets]]
        if not self._sees_gil:
            return records
        more = self._gil.switch(records[switches], self._releases[targets][self._switches[targets]])
        records["flags"][rows] |= self._gil.flags(records[rows])
        called = rows[self._callbacks[targets]]
        inside = self._inside.follow(records[called], self._asks[targets][self._callbacks[targets]])
        kept: NDArray[np.void] = np.delete(records, [*switches, *called])
        return np.concatenate([kept, more, inside]) if len(more) or len(inside) else kept

    def _rows_of(self, targets: NDArray[np.intp], addresses: NDArray[np.uint64]) -> NDArray[np.uint16]:
        """Return the functions' rows for pairs of target and caller's address."""
        unique, where = np.unique(addresses, return_inverse=True)
        pairs = targets.astype(np.int64) * len(unique) + where
        found, inverse = np.unique(pairs, return_inverse=True)
        rows = [self._row(int(pair) // len(unique), int(unique[pair % len(unique)])) for pair in found]
        result: NDArray[np.uint16] = np.array(rows, np.uint16)[inverse]
        return result

    def metadata(self) -> dict[str, Any]:
        """Return the capture's "functions" and "function_table"."""
        return {
            "functions": [function.name for function in self.functions],
            "function_table": [function.to_metadata() for function in self.functions],
        }

    def _row(self, nr: int, address: int) -> int:
        caller = self._caller(address)
        key = (nr, caller)
        if key not in self._rows:
            target = self._found.targets[nr]
            via = "dlsym"
            if caller == target.library:
                via = "inner"
            elif target.name in self._found.wanted.get(caller, ()):
                via = "plt"
            self._rows[key] = len(self.functions)
            self.functions.append(function_of(target, self._kept[nr], caller, via))
        return self._rows[key]

    def _caller(self, address: int) -> str:
        known = self._callers.get(address)
        if known is None:
            known = self._callers[address] = self._look_up(address)
        return known

    def _look_up(self, address: int) -> str:
        piece = self._maps.find(address)
        if piece is None and self._reads < MAPS_READ_AT_MOST:
            self._reads += 1  # It was loaded since.
            try:
                self._maps = ProcessMaps(self._maps.pid)
            except LlamactlError:
                return UNKNOWN_CALLER
            piece = self._maps.find(address)
        return UNKNOWN_CALLER if piece is None else self._binding(piece.path)

    def _binding(self, path: str) -> str:
        """Ctypes and CFFI's ABI mode call through libffi: it is named after the only one that is loaded."""
        if not PurePosixPath(path).name.startswith("libffi"):
            return path
        users = [
            other
            for other in self._maps.objects()
            if PurePosixPath(other).name.startswith(FOREIGN_INTERFACES)
        ]
        return users[0] if len(users) == 1 else path


class _GilHistory:
    """When each thread let the GIL go and took it back, as far as calls still to come may ask."""

    def __init__(self) -> None:
        self._times: dict[int, list[int]] = {}
        self._released: dict[int, list[bool]] = {}
        self._since: dict[int, tuple[int, int]] = {}

    def switch(self, calls: NDArray[np.void], releases: NDArray[np.bool_]) -> NDArray[np.void]:
        """Note calls of SaveThread (``releases``) and RestoreThread; return the GIL records they complete."""
        columns = (calls[name].tolist() for name in ("tid", "start", "duration", "nr", "flags"))
        found = []
        for index, (tid, start, length, nr, flags, saves) in enumerate(
            zip(*columns, releases.tolist(), strict=True)
        ):
            unfinished = flags & Flag.NO_EXIT
            self._note(tid, start if saves or unfinished else start + length, saves)
            if saves:
                self._since[tid] = (start + length, nr)
                continue
            since = self._since.pop(tid, None)
            if since is not None:
                found.append((index, 0, since[0], max(start - since[0], 0), since[1], 0))
            found.append((index, 1, start, length, nr, unfinished))
        return _gil_records(calls, found)

    def _note(self, tid: int, moment: int, released: bool) -> None:
        self._times.setdefault(tid, []).append(moment)
        self._released.setdefault(tid, []).append(released)

    def flags(self, calls: NDArray[np.void]) -> NDArray[np.uint8]:
        """Return whether each call's thread had the GIL when it began; no flag before it was ever seen."""
        result = np.zeros(len(calls), np.uint8)
        for tid in np.unique(calls["tid"]).tolist():
            times = self._times.get(tid)
            if not times:
                continue
            mine = np.flatnonzero(calls["tid"] == tid)
            index = np.searchsorted(np.array(times, np.uint64), calls["start"][mine], "right") - 1
            released = np.array(self._released[tid])[index]
            flags = np.where(released, Flag.GIL_RELEASED, Flag.GIL_HELD)
            result[mine] = np.where(index >= 0, flags, 0)
            del times[:-HISTORY], self._released[tid][:-HISTORY]
        return result


class _Callbacks:
    """Pairs each outermost ``PyGILState_Ensure`` of a thread with its ``PyGILState_Release``."""

    def __init__(self) -> None:
        self._open: dict[int, list[int]] = {}

    def follow(self, calls: NDArray[np.void], asks: NDArray[np.bool_]) -> NDArray[np.void]:
        """Return GIL records: the wait of each Ensure, and at its Release the Python in between."""
        columns = (calls[name].tolist() for name in ("tid", "start", "duration", "nr", "flags"))
        found = []
        for index, (tid, start, length, nr, flags, ask) in enumerate(
            zip(*columns, asks.tolist(), strict=True)
        ):
            begun = self._open.setdefault(tid, [])
            if ask:
                begun.append(start)
                found.append((index, WAITED, start, length, nr, flags & Flag.NO_EXIT))
            elif begun:
                first = begun.pop()
                if not begun:
                    found.append((index, CALLED_BACK, first, max(start - first, 0), nr, 0))
        return _gil_records(calls, found)


def _gil_records(
    calls: NDArray[np.void], found: list[tuple[int, int, int, int, int, int]]
) -> NDArray[np.void]:
    records = np.zeros(len(found), RECORD)
    if found:
        index, nr, start, length, function, flags = (np.array(column) for column in zip(*found, strict=True))
        for name in ("cpu", "arch", "tid", "pid"):
            records[name] = calls[name][index]
        records["kind"] = Kind.GIL
        records["nr"], records["flags"] = nr, flags
        records["start"], records["duration"] = start, length
        records["args"][:, 1], records["args"][:, 2] = function, UNKNOWN
    return records
