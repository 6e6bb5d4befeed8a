"""What the agent recorded of one capture, sorted for the analyses of calls, GIL and tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.capture.functions import ENTERED_ON, Function
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Flag, Kind

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.gpu.awaited import Awaited

Place = tuple[str, int, str]
"""File, line and function of Python code."""

CPYTHON = "Py"
"""What the functions of the GIL begin with, which aren't llama.cpp's."""

AMONG_ENGINE = "engine"
"""How a function is bound that the engine's libraries call among themselves."""


@dataclass(frozen=True)
class Exchange:
    """The CALL and GIL records of a capture.

    Attributes:
        calls: CALL records by start.
        gil: GIL records by start.
        functions: What a CALL's ``nr`` means.
        text: Returns a string by reference.
        free_threaded: Whether the Python has no GIL.
        counted: Calls without a record, since the ring was too full for cheap ones: by function, how many and
            how long they took together, ns.
        lost: How many records are missing altogether; what is counted is then "at least".
        around_ns: What recording a call or a wait cost the program beside its recorded duration, where that is known.
        among: What the engine's libraries ask of each other, by start: waits for results, and memory. They are no
            calls of the program's.
    """

    calls: NDArray[np.void]
    gil: NDArray[np.void]
    functions: list[Function]
    text: Callable[[int], bytes]
    free_threaded: bool = False
    counted: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    lost: int = 0
    around_ns: float = 0.0
    among: NDArray[np.void] = field(default_factory=lambda: np.empty(0, RECORD))

    @classmethod
    def of(
        cls,
        pieces: Iterable[NDArray[np.void]],
        functions: list[Function],
        text: Callable[[int], bytes],
        free_threaded: bool = False,
    ) -> Exchange:
        """Pick the agent's records out of a capture's chunks (``Capture.chunks()``)."""
        calls, gil, among = [], [], []
        inside = np.array([function.via == AMONG_ENGINE for function in functions], dtype=bool)
        for piece in pieces:
            called = piece[piece["kind"] == Kind.CALL]
            if inside.any():
                own = inside[np.minimum(called["nr"], len(inside) - 1)]
                among.append(called[own])
                called = called[~own]
            calls.append(called)
            gil.append(piece[piece["kind"] == Kind.GIL])
        found = cls(_by_start(calls), _by_start(gil), functions, text, free_threaded)
        return replace(found, among=_by_start(among)) if among else found

    @classmethod
    def of_capture(cls, capture: Capture) -> Exchange:
        """Pick the agent's records out of a capture file; there are none if it was recorded without."""
        table = capture.metadata.get("function_table", [])
        agent = capture.metadata.get("agent") or {}
        functions = [Function.from_metadata(row) for row in table]
        found = cls.of(capture.chunks(), functions, capture.text, bool(agent.get("free_threaded")))
        return replace(
            found,
            counted=_counted(agent, functions),
            lost=_lost(capture.metadata),
            around_ns=_around(capture.metadata),
        )

    @property
    def complete(self) -> bool:
        """Whether every call has its record; else figures of single calls and tokens are "at least"."""
        return not self.lost and not self.counted

    @cached_property
    def awaited(self) -> Awaited:
        """What decodes started on a device and other calls waited for."""
        from llamactl.trace.mechanisms.gpu.awaited import find_awaited

        return find_awaited(self)

    def named(self, *names: str) -> Mask:
        """Return which calls are of functions with these names."""
        wanted = np.array([function.name in names for function in self.functions], dtype=bool)
        found: Mask = wanted[self.calls["nr"]] if len(wanted) else np.zeros(len(self.calls), dtype=bool)
        return found

    def among_named(self, *names: str) -> NDArray[np.void]:
        """Return the records of what the engine's libraries asked of each other by these functions, by start."""
        wanted = np.array([function.name in names for function in self.functions], dtype=bool)
        return self.among[wanted[self.among["nr"]]] if len(self.among) else self.among

    def argument(self, calls: NDArray[np.void], label: str) -> IntArray | None:
        """Return one argument of calls of functions that keep it; None when one of them doesn't."""
        result = np.zeros(len(calls), np.int64)
        for nr in np.unique(calls["nr"]).tolist():
            position = self.functions[nr].position(label)
            if position is None:
                return None
            rows = calls["nr"] == nr
            result[rows] = calls["args"][rows, position].astype(np.int64)
        return result

    def cpu_time(self, calls: NDArray[np.void]) -> IntArray | None:
        """Return the CPU time (ns) of calls, None when one of their functions doesn't keep it."""
        words = self.argument(calls, "cpu_ns")
        return None if words is None else words & ((1 << ENTERED_ON) - 1)

    def moves(self, calls: NDArray[np.void]) -> tuple[IntArray, IntArray] | None:
        """Return on which CPUs calls began and ended (65535 for unknown); None when it wasn't kept."""
        words = self.argument(calls, "cpu_ns")
        if words is None:
            return None
        return words >> ENTERED_ON & 0xFFFF, calls["cpu"].astype(np.int64)

    def place(self, reference: int) -> Place | None:
        """Return the innermost (file, line, function) of a record's ``text2``; None when it has none."""
        return _place(self.text(int(reference)).partition(b"\n")[0])

    def caller(self, reference: int) -> Place | None:
        """Return the place outside of all installed packages that led there; None where it wasn't looked up."""
        _, _, outer = self.text(int(reference)).partition(b"\n")
        return _place(outer) if outer else None


def _counted(agent: dict[str, Any], functions: list[Function]) -> dict[int, tuple[int, int]]:
    rows = agent.get("counted") or {}
    numbers = {int(number): row for number, row in rows.items() if str(number).isdigit()}
    return {
        number: (int(row.get("calls") or 0), int(row.get("ns") or 0))
        for number, row in numbers.items()
        if number < len(functions)
        and not functions[number].name.startswith(CPYTHON)
        and not functions[number].device
        and functions[number].via != AMONG_ENGINE
    }


def _lost(metadata: dict[str, Any]) -> int:
    """Return how many records of calls are missing, of the agent's or of the uprobes'."""
    lost = (metadata.get("agent") or {}).get("lost") or {}
    names = ("ring_full", "threads", "depth", "torn", "damaged")
    outside = (metadata.get("boundary") or {}).get("lost") or 0
    return sum(int(lost.get(name) or 0) for name in names) + int(outside)


def _around(metadata: dict[str, Any]) -> float:
    boundary = metadata.get("boundary") or {}
    return max(float(boundary.get("per_call_ns") or 0) - float(boundary.get("inside_ns") or 0), 0.0)


def _place(text: bytes) -> Place | None:
    parts = text.decode("utf-8", "backslashreplace").rsplit(":", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    return parts[0], int(parts[1]), parts[2]


def finished(records: NDArray[np.void]) -> Mask:
    """Return which records have an end, and so a result."""
    mask: Mask = (records["flags"] & int(Flag.NO_EXIT)) == 0
    return mask


def timed(records: NDArray[np.void]) -> Mask:
    """Return which records have a length: they ended, or were still open at the end of the recording."""
    mask: Mask = (records["flags"] & int(Flag.LEFT)) == 0
    return mask


def unfinished(records: NDArray[np.void]) -> int:
    """Return how many records were still open at the end: their length is what was seen of it."""
    return int((timed(records) & ~finished(records)).sum())


def starts(records: NDArray[np.void]) -> IntArray:
    """Return the starts, ns."""
    found: IntArray = records["start"].astype(np.int64)
    return found


def durations(records: NDArray[np.void]) -> IntArray:
    """Return the durations, ns; up to the end of the recording where it came first, 0 where nothing is known."""
    found: IntArray = np.where(timed(records), records["duration"], 0).astype(np.int64)
    return found


def ends(records: NDArray[np.void]) -> IntArray:
    """Return start plus duration, ns."""
    return starts(records) + durations(records)


def outermost(calls: NDArray[np.void]) -> Mask:
    """Return which calls (sorted by start) aren't inside another call of the same thread."""
    outer = np.ones(len(calls), dtype=bool)
    end = ends(calls)
    for tid in np.unique(calls["tid"]):
        rows = np.flatnonzero(calls["tid"] == tid)
        latest = np.maximum.accumulate(end[rows])
        outer[rows[1:]] = starts(calls[rows[1:]]) >= latest[:-1]
    return outer


def _by_start(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    records = np.concatenate(parts) if parts else np.empty(0, RECORD)
    # Of two that begin at the same nanosecond the longer one is outside.
    order = np.lexsort((-durations(records), records["start"]))
    found: NDArray[np.void] = records[order]
    return found
