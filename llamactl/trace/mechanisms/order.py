"""Records in the order of time, where a recorder with several sources wrote them in another.

An engine that stops the program writes records as calls return. The engine ``perf`` joins rings of several
CPUs with the stops of ptrace, whose batches come milliseconds apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.view import PIECE, View

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture


SLACK_NS = 100_000
"""Records out of order by less than this are put right inside their piece anyway."""

FORGET_EVERY = 32
"""Pieces after which their memory is given back: some 200 MB."""


class Timeline:
    """A capture's records, piece by piece, in the order in which calls returned.

    Args:
        capture: The capture; its moments are read once to see whether they are in order.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._chunks = list(capture.chunks())
        self._first = np.cumsum([0, *(len(chunk) for chunk in self._chunks)])
        self._order: NDArray[np.unsignedinteger] | None = None
        if not self._in_order():
            moments = np.concatenate([_moments(chunk) for chunk in self._chunks])
            narrow = np.uint32 if len(moments) < 2**32 else np.uint64
            self._order = np.argsort(moments, kind="stable").astype(narrow)

    def __iter__(self) -> Iterator[View]:
        for number, view in enumerate(self._sorted() if self._order is not None else self._plain(), 1):
            yield view
            if number % FORGET_EVERY == 0:
                self._capture.forget()

    def _in_order(self) -> bool:
        latest = 0
        for number, view in enumerate(self._plain(), 1):
            moments = _moments(view.records)
            if int(moments.min()) + SLACK_NS < latest:
                return False
            latest = max(latest, int(moments.max()))
            if number % FORGET_EVERY == 0:
                self._capture.forget()
        return True

    def _plain(self) -> Iterator[View]:
        first = 0
        for chunk in self._chunks:
            for begin in range(0, len(chunk), PIECE):
                records = chunk[begin : begin + PIECE]
                yield View(records, first)
                first += len(records)

    def _sorted(self) -> Iterator[View]:
        assert self._order is not None
        for begin in range(0, len(self._order), PIECE):
            rows = self._order[begin : begin + PIECE].astype(np.int64)
            records = np.empty(len(rows), self._chunks[0].dtype)
            holder = np.searchsorted(self._first, rows, side="right") - 1
            for index in np.unique(holder).tolist():
                mine = holder == index
                records[mine] = self._chunks[index][rows[mine] - self._first[index]]
            yield View(records, begin)


def _moments(records: NDArray[np.void]) -> IntArray:
    """Return when each record was complete: the end of a call."""
    moments: IntArray = (records["start"] + records["duration"]).astype(np.int64)
    return moments
