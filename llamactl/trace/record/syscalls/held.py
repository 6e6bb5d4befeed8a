"""Put the records of two recorders into one order: that of the moments at which things ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import RECORD, rebase
from llamactl.trace.record.syscalls.base import Batch
from llamactl.trace.record.syscalls.entry_texts import moved_strings

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Held:
    """Records of the one recorder, held back until the other's have come up to them.

    Readers follow file descriptors through a capture, so an ``openat`` must come before the ``read`` of
    what it opened, whichever recorder saw them.
    """

    def __init__(self) -> None:
        self._records: NDArray[np.void] = np.zeros(0, RECORD)
        self._strings = bytearray()

    def add(self, batch: Batch) -> None:
        """Keep a copy of a batch."""
        records = batch.records.copy()
        rebase(records, len(self._strings))
        self._records = np.concatenate([self._records, records])
        self._strings += batch.strings

    def merge_into(self, batch: Batch) -> Batch:
        """Return the batch with those held records in it that ended before its last one."""
        if not len(self._records):
            return batch
        ends = _ends(batch.records)
        held, strings = self._take(int(ends.max()), len(batch.strings))
        if not len(held):
            return batch
        places = np.searchsorted(ends, _ends(held), side="right")
        records = np.insert(batch.records, places, held)
        return Batch(records, memoryview(bytes(batch.strings) + bytes(strings)))

    def before(self, moment: int | None) -> Batch | None:
        """Return the held records that ended before ``moment`` (ns); all of them for None."""
        held, strings = self._take(moment)
        return Batch(held, memoryview(bytes(strings))) if len(held) else None

    def _take(self, moment: int | None, offset: int = 0) -> tuple[NDArray[np.void], bytearray]:
        """Return the records that ended by then, and their strings, which they mean from ``offset`` on."""
        chosen = np.ones(len(self._records), bool) if moment is None else _ends(self._records) <= moment
        taken, kept = self._records[chosen], self._records[~chosen]
        strings = moved_strings(taken, self._strings, offset)
        if len(taken):
            self._strings = moved_strings(kept, self._strings)
        self._records = kept
        return taken, strings


def _ends(records: NDArray[np.void]) -> NDArray[np.uint64]:
    ends: NDArray[np.uint64] = records["start"] + records["duration"]
    return ends
