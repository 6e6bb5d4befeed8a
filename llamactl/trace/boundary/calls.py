"""From what was caught outside to the records that the agent would have made."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.agent.functions import Function
from llamactl.trace.boundary.maps import ProcessMaps
from llamactl.trace.boundary.targets import GIL_FUNCTIONS, Found, Kept, function_of
from llamactl.trace.capture.record import RECORD, Flag, Kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALLER = 5
"""The argument in which our C hands over the address that a call returns to."""
UNKNOWN = 2**64 - 1
MAPS_READ_AT_MOST = 50
HISTORY = 64
FOREIGN_INTERFACES = ("_ctypes.", "_cffi_backend.")
UNKNOWN_CALLER = "unknown"


class CallTable:
    """Gives calls their functions' rows, with the object that called, and makes GIL records.

    Args:
        found: The functions caught; a raw record's ``nr`` is an index into ``found.targets``.
        kept: What is kept of each target's arguments.
    """

    def __init__(self, found: Found, kept: Sequence[Kept | None]) -> None:
        self._found = found
        self._kept = kept
        self._maps = found.maps
        self._reads = 0
        self._rows: dict[tuple[int, str], int] = {}
        self._callers: dict[int, str] = {}
        self._gil = _GilHistory()
        self._sees_gil = any(target.name in GIL_FUNCTIONS for target in found.targets)
        self.functions: list[Function] = []

    def translate(self, records: NDArray[np.void]) -> NDArray[np.void]:
        """Return the records as they go into a capture; those that aren't CALLs stay as they are.

        ``records`` is changed in place; a call of ``PyEval_RestoreThread`` becomes up to two GIL records.
        """
        rows = np.flatnonzero(records["kind"] == Kind.CALL)
        if not len(rows):
            return records
        drop: list[int] = []
        more: list[np.void] = []
        for row in rows.tolist():
            record = records[row]
            target = self._found.targets[int(record["nr"])]
            record["nr"] = self._row(int(record["nr"]), int(record["args"][CALLER]))
            record["args"][CALLER] = 0
            if target.name in GIL_FUNCTIONS:
                more += self._gil.switch(record, target.name == GIL_FUNCTIONS[0])
                drop.append(row)
            else:
                inner = Flag.INNER if target.inner else 0
                state = self._gil.flag(record) if self._sees_gil else 0
                record["flags"] |= np.uint8(inner | state)
        if not drop:
            return records
        kept: NDArray[np.void] = np.delete(records, drop)
        return np.concatenate([kept, np.array(more, RECORD)]) if more else kept

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
        """ctypes and CFFI's ABI mode call through libffi: it is named after the only one that is loaded."""
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

    def switch(self, record: np.void, releases: bool) -> list[np.void]:
        """Note a call of SaveThread (``releases``) or RestoreThread; return the GIL records it completes."""
        tid, start, length = int(record["tid"]), int(record["start"]), int(record["duration"])
        unfinished = bool(record["flags"] & Flag.NO_EXIT)
        self._note(tid, start if releases or unfinished else start + length, releases)
        if releases:
            self._since[tid] = (start + length, int(record["nr"]))
            return []
        found = []
        since = self._since.pop(tid, None)
        if since is not None:
            found.append(_gil_record(record, 0, since[0], max(start - since[0], 0), since[1], 0))
        flags = Flag.NO_EXIT if unfinished else 0
        found.append(_gil_record(record, 1, start, length, int(record["nr"]), flags))
        return found

    def _note(self, tid: int, moment: int, released: bool) -> None:
        times, states = self._times.setdefault(tid, []), self._released.setdefault(tid, [])
        times.append(moment)
        states.append(released)
        if len(times) > 2 * HISTORY:
            del times[:HISTORY], states[:HISTORY]

    def flag(self, record: np.void) -> int:
        """Return whether the thread had the GIL when a call began; no flag before it was ever seen."""
        tid = int(record["tid"])
        index = bisect.bisect_right(self._times.get(tid, []), int(record["start"])) - 1
        if index < 0:
            return 0
        return int(Flag.GIL_RELEASED if self._released[tid][index] else Flag.GIL_HELD)


def _gil_record(like: np.void, nr: int, start: int, length: int, function: int, flags: int) -> np.void:
    record = np.zeros(1, RECORD)[0]
    for name in ("cpu", "arch", "tid", "pid"):
        record[name] = like[name]
    record["kind"], record["nr"], record["flags"] = Kind.GIL, nr, flags
    record["start"], record["duration"] = start, length
    record["args"][1], record["args"][2] = function, UNKNOWN
    return record
