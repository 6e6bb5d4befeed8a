"""System calls by name: how many, how many failed, how long they took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.decode.table import moving
from llamactl.trace.mechanisms.view import ARCHITECTURES, CODES, View, name_of


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call; the durations are None when nothing is known of any of them.

    ``unfinished`` of them didn't return while it was recorded: their durations are what was seen of them.
    """

    name: str
    count: int
    errors: int
    unfinished: int
    total_ns: int | None
    mean_ns: float | None
    max_ns: int | None
    bytes: int | None
    """Sum of the positive results of calls that transfer bytes; None for other calls."""


TRANSFERS = moving("in", "out", "over", "made")


class CallTable:
    """Adds up calls by their number."""

    def __init__(self) -> None:
        size = ARCHITECTURES * CODES
        self._count = np.zeros(size, np.int64)
        self._errors = np.zeros(size, np.int64)
        self._unfinished = np.zeros(size, np.int64)
        self._timed = np.zeros(size, np.int64)
        self._total = np.zeros(size)
        self._max = np.zeros(size, np.int64)
        self._bytes = np.zeros(size)

    def add(self, view: View) -> None:
        """Count the calls of a piece."""
        code, size = view.code, len(self._count)
        self._count += np.bincount(code, minlength=size)
        self._errors += np.bincount(code[view.failed], minlength=size)
        if not view.finished.all():
            self._unfinished += np.bincount(code[~view.finished], minlength=size)
        self._timed += np.bincount(code[view.timed], minlength=size)
        self._total += np.bincount(code, view.duration, minlength=size)
        self._bytes += np.bincount(code, np.maximum(view.ret, 0).astype(float), minlength=size)
        np.maximum.at(self._max, code, view.duration)

    def rows(self) -> list[CallRow]:
        """Return the calls that occurred, those that took longest first."""
        found = [self._row(int(code)) for code in np.flatnonzero(self._count)]
        return sorted(found, key=lambda row: (-(row.total_ns or 0), -row.count, row.name))

    def total(self) -> int:
        """Return how many calls there were."""
        return int(self._count.sum())

    def _row(self, code: int) -> CallRow:
        name = name_of(code)
        timed = int(self._timed[code])
        return CallRow(
            name=name,
            count=int(self._count[code]),
            errors=int(self._errors[code]),
            unfinished=int(self._unfinished[code]),
            total_ns=int(self._total[code]) if timed else None,
            mean_ns=float(self._total[code] / timed) if timed else None,
            max_ns=int(self._max[code]) if timed else None,
            bytes=int(self._bytes[code]) if name in TRANSFERS else None,
        )
