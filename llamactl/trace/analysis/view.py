"""A piece of a capture, its columns laid out for fast work; every analysis reads pieces of this kind."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.syscalls.table import ARCH_NAMES, call_of, numbers

PIECE = 65536
"""Records worked on at once: 6 MB, so that the memory needed doesn't grow with the capture."""

CODES = 1024
"""Codes per architecture: see :attr:`View.code`."""

ARCHITECTURES = 3

_COUNTABLE = 1 << 20

IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]

LARGEST_ERROR = 4095


class View:
    """Columns of up to ``PIECE`` records; computed when first asked for.

    Attributes:
        records: The records themselves, dtype ``RECORD``.
        first: Index of the first record in the capture.
    """

    def __init__(self, records: NDArray[np.void], first: int) -> None:
        self.records = records
        self.first = first

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

    @cached_property
    def call_records(self) -> NDArray[np.void]:
        """The SYSCALL records; a view without a copy where a piece has no others."""
        return self.records if len(self.calls) == len(self.records) else self.records[self.calls]

    @cached_property
    def code(self) -> IntArray:
        """Number of each SYSCALL record's call: ``arch * CODES + nr``; numbers from CODES on share one."""
        nr = np.minimum(self.call_records["nr"], CODES - 1).astype(np.int64)
        arch = np.minimum(self.call_records["arch"], ARCHITECTURES - 1)
        code: IntArray = nr + arch.astype(np.int64) * CODES
        return code

    @cached_property
    def start(self) -> IntArray:
        """Start of each SYSCALL record, ns."""
        return self.call_records["start"].astype(np.int64)

    @cached_property
    def finished(self) -> Mask:
        """Which SYSCALL records have a result and a duration."""
        finished: Mask = (self.call_records["flags"] & int(Flag.NO_EXIT)) == 0
        return finished

    @cached_property
    def duration(self) -> IntArray:
        """Duration of each SYSCALL record, ns; 0 for calls that never returned."""
        return np.where(self.finished, self.call_records["duration"].astype(np.int64), 0)

    @cached_property
    def ret(self) -> IntArray:
        """Result of each SYSCALL record."""
        return np.ascontiguousarray(self.call_records["ret"])

    @cached_property
    def failed(self) -> Mask:
        """Which SYSCALL records returned an error."""
        return (self.ret < 0) & (self.ret >= -LARGEST_ERROR) & self.finished

    @cached_property
    def tid(self) -> IntArray:
        """Thread of each SYSCALL record."""
        return self.call_records["tid"].astype(np.int64)

    @cached_property
    def pid(self) -> IntArray:
        """Process of each SYSCALL record."""
        return self.call_records["pid"].astype(np.int64)

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
