"""Put the records of two recorders into one order: that of the moments at which things ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import RECORD
from llamactl.trace.engines.base import Batch

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
        _rebase(records, len(self._strings))
        self._records = np.concatenate([self._records, records])
        self._strings += batch.strings

    def merge_into(self, batch: Batch) -> Batch:
        """Return the batch with those held records in it that ended before its last one."""
        if not len(self._records):
            return batch
        ends = _ends(batch.records)
        last = int(ends.max())
        held = self._take(last)
        if not len(held):
            return batch
        _rebase(held, len(batch.strings))
        places = np.searchsorted(ends, _ends(held), side="right")
        records = np.insert(batch.records, places, held)
        strings = memoryview(bytes(batch.strings) + bytes(self._strings))
        self._forget()
        return Batch(records, strings)

    def before(self, moment: int | None) -> Batch | None:
        """Return the held records that ended before ``moment`` (ns); all of them for None."""
        held = self._take(moment)
        if not len(held):
            return None
        batch = Batch(held, memoryview(bytes(self._strings)))
        self._forget()
        return batch

    def _take(self, moment: int | None) -> NDArray[np.void]:
        chosen = np.ones(len(self._records), bool) if moment is None else _ends(self._records) <= moment
        taken = self._records[chosen]
        self._records = self._records[~chosen]
        return taken

    def _forget(self) -> None:
        """Drop the strings once no held record means them any more."""
        if not len(self._records):
            self._strings = bytearray()


def _ends(records: NDArray[np.void]) -> NDArray[np.uint64]:
    ends: NDArray[np.uint64] = records["start"] + records["duration"]
    return ends


def _rebase(records: NDArray[np.void], offset: int) -> None:
    for name in ("text", "text2"):
        column = records[name]
        column[column != 0] += np.uint32(offset)
