"""A piece of a capture, its columns laid out for fast work; every analysis reads pieces of this kind."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray, Mask
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.decode.table import ARCH_NAMES, call_of, numbers

PIECE = 65536
"""Records worked on at once: 6 MB, so that the memory needed doesn't grow with the capture."""

CODES = 1024
"""Codes per architecture: see :attr:`View.code`."""

ARCHITECTURES = 3

_COUNTABLE = 1 << 20


LARGEST_ERROR = 4095


class Moments(Protocol):
    """What gives moments a number, such as that of their phase."""

    def of(self, moments: IntArray) -> IntArray:
        """Return the number of each moment."""
        ...


class View:
    """Columns of up to ``PIECE`` records; computed when first asked for.

    Attributes:
        records: The records themselves, dtype ``RECORD``.
        first: Index of the first record in the capture.
    """

    def __init__(self, records: NDArray[np.void], first: int) -> None:
        self.records = records
        self.first = first
        self._phase: tuple[Moments, IntArray] | None = None

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def kind(self) -> NDArray[np.uint8]:
        """The kinds."""
        return np.ascontiguousarray(self.records["kind"])

    @cached_property
    def calls(self) -> IntArray:
        """Positions of the SYSCALL records in this piece."""
        return np.flatnonzero(self.kind == Kind.SYSCALL)

    def field(self, name: str, rows: IntArray | Mask | None = None) -> NDArray[Any]:
        """Return a field of the SYSCALL records, or of those at ``rows`` among them.

        The records themselves aren't copied: of their 96 bytes most analyses need a few, of a few calls.
        """
        column: NDArray[Any] = self.records[name]
        if rows is None:
            return column if self._only_calls else column[self.calls]
        return column[rows] if self._only_calls else column[self.calls[rows]]

    def argument(self, index: int | IntArray, rows: IntArray | Mask | None = None) -> NDArray[np.uint64]:
        """Return an argument of the SYSCALL records at ``rows``; ``index`` may differ from row to row."""
        where = self.calls if rows is None else self.calls[rows]
        found: NDArray[np.uint64] = self.records["args"][where, index]
        return found

    @cached_property
    def _only_calls(self) -> bool:
        return len(self.calls) == len(self.records)

    def phase(self, phases: Moments) -> IntArray:
        """Return the phase's number of each SYSCALL record's start; looked up once for all analyses."""
        if self._phase is None or self._phase[0] is not phases:
            self._phase = (phases, phases.of(self.start))
        return self._phase[1]

    @cached_property
    def code(self) -> IntArray:
        """Number of each SYSCALL record's call: ``arch * CODES + nr``; numbers from CODES on share one."""
        nr = np.minimum(self.field("nr"), CODES - 1).astype(np.int64)
        arch = np.minimum(self.field("arch"), ARCHITECTURES - 1)
        code: IntArray = nr + arch.astype(np.int64) * CODES
        return code

    @cached_property
    def start(self) -> IntArray:
        """Start of each SYSCALL record, ns."""
        return self.field("start").astype(np.int64)

    @cached_property
    def finished(self) -> Mask:
        """Which SYSCALL records have a result."""
        finished: Mask = (self.field("flags") & int(Flag.NO_EXIT)) == 0
        return finished

    @cached_property
    def under_way(self) -> Mask:
        """Which SYSCALL records were still open at the end of the recording, or when their thread was ended.

        A thread's ``exit`` isn't: it never returns.
        """
        left: Mask = (self.field("flags") & int(Flag.LEFT)) != 0
        return ~self.finished & ~left & ~_EXITS[self.code]

    @cached_property
    def timed(self) -> Mask:
        """Which SYSCALL records have a duration."""
        return self.finished | self.under_way

    @cached_property
    def duration(self) -> IntArray:
        """Duration of each SYSCALL record, ns; up to the end for those under way, 0 where it isn't known."""
        return np.where(self.timed, self.field("duration").astype(np.int64), 0)

    @cached_property
    def ret(self) -> IntArray:
        """Result of each SYSCALL record."""
        return np.ascontiguousarray(self.field("ret"))

    @cached_property
    def failed(self) -> Mask:
        """Which SYSCALL records returned an error."""
        return (self.ret < 0) & (self.ret >= -LARGEST_ERROR) & self.finished

    @cached_property
    def tid(self) -> IntArray:
        """Thread of each SYSCALL record."""
        return self.field("tid").astype(np.int64)

    @cached_property
    def pid(self) -> IntArray:
        """Process of each SYSCALL record."""
        return self.field("pid").astype(np.int64)

    @cached_property
    def threads(self) -> tuple[IntArray, IntArray]:
        """The distinct threads of the SYSCALL records, and each record's index among them."""
        return distinct(self.tid)

    @cached_property
    def processes(self) -> tuple[IntArray, IntArray]:
        """The distinct processes of the SYSCALL records, and each record's index among them."""
        return distinct(self.pid)

    def of_kind(self, kind: Kind) -> NDArray[np.void]:
        """Return the records of one kind."""
        found: NDArray[np.void] = self.records[self.kind == kind]
        return found


def distinct(column: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct values of a column, sorted, and each row's index among them.

    As ``numpy.unique``, but counts instead of sorting where the values lie close together.
    """
    if not len(column):
        return column, column
    low, high = int(column.min()), int(column.max())
    if high - low > _COUNTABLE:
        values, inverse = np.unique(column, return_inverse=True)
        return values, inverse
    present = np.bincount(column - low) > 0
    index = np.cumsum(present) - 1
    return np.flatnonzero(present) + low, index[column - low]


def codes_of(wanted: Iterable[str]) -> Mask:
    """Return a table by code that is true for the named calls, on every architecture."""
    table = np.zeros(ARCHITECTURES * CODES, dtype=bool)
    for arch in range(len(ARCH_NAMES)):
        for name in wanted:
            number = numbers(arch).get(name)
            if number is not None:
                table[arch * CODES + number] = True
    return table


def name_of(code: int) -> str:
    """Return the name of a code's call."""
    return call_of(code // CODES, code % CODES).name


EXIT_CALLS = ("exit", "exit_group")
_EXITS = codes_of(EXIT_CALLS)
