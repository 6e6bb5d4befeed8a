"""Give the calls that one recorder saw the strings that another one read on their entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.record.syscalls.base import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENTRY_ONLY = 128
"""``FLAG_ENTRY_ONLY`` of native/common/record.h; never in a capture."""
LENGTH_BYTES = 4


class EntryTexts:
    """Strings read while a thread was stopped just before a call, until the call's own record comes.

    A thread makes one call after the other, and the kernel runs a seccomp filter before its tracepoint
    ``sys_enter``. So a call's strings are the last ones of its thread and number before its start.
    """

    def __init__(self) -> None:
        self._records: NDArray[np.void] = np.zeros(0, RECORD)
        self._strings = bytearray()

    def take_out(self, batch: Batch) -> Batch:
        """Keep what was read on entry and return the rest of the batch."""
        mine = (batch.records["flags"] & ENTRY_ONLY) != 0
        if not mine.any():
            return batch
        records, others = batch.records[mine], batch.records[~mine]
        strings = moved_strings(records, batch.strings, len(self._strings))
        self._records = np.concatenate([self._records, records])
        self._strings += strings
        return Batch(others, memoryview(bytes(moved_strings(others, batch.strings))))

    def join(self, batch: Batch) -> Batch:
        """Return the batch, its calls with their strings; what they leave over is forgotten."""
        if not len(self._records):
            return batch
        calls = np.flatnonzero(batch.records["kind"] == int(Kind.SYSCALL))
        calls = calls[np.isin(batch.records["nr"][calls], self._records["nr"])]
        reached = int((batch.records["start"] + batch.records["duration"]).max(initial=0))
        texts, calls = self._last_before(batch.records, calls)
        if len(calls):
            records = batch.records.copy()
            found = self._records[texts]
            strings = moved_strings(found, self._strings, len(batch.strings))
            for name in ("text", "text2"):
                records[name][calls] = found[name]
            records["flags"][calls] |= found["flags"] & int(Flag.TEXT_CUT)
            batch = Batch(records, memoryview(bytes(batch.strings) + bytes(strings)))
        self._forget(texts, reached)
        return batch

    def _last_before(
        self, records: NDArray[np.void], calls: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return, for those calls that have any, the index of their strings, and the calls."""
        count = len(self._records)
        tids = np.concatenate([self._records["tid"], records["tid"][calls]])
        starts = np.concatenate([self._records["start"], records["start"][calls]])
        order = np.lexsort((starts, tids))  # It is stable: strings come before a call of the same moment.
        is_text = order < count
        last = np.maximum.accumulate(np.where(is_text, np.arange(len(order)), -1))
        at_calls = np.flatnonzero(~is_text & (last >= 0))
        texts, rows = order[last[at_calls]], calls[order[at_calls] - count]
        same = (self._records["tid"][texts] == records["tid"][rows]) & (
            self._records["nr"][texts] == records["nr"][rows]
        )
        return texts[same], rows[same]

    def _forget(self, used: NDArray[np.intp], reached: int) -> None:
        """Drop what was used, and what was followed by another of its thread before ``reached`` (ns)."""
        order = np.lexsort((self._records["start"], self._records["tid"]))
        tids, starts = self._records["tid"][order], self._records["start"][order]
        followed = np.zeros(len(order), bool)
        followed[:-1] = (tids[1:] == tids[:-1]) & (starts[1:] <= reached)
        kept = self._records[np.setdiff1d(order[~followed], used)]
        strings = moved_strings(kept, self._strings)
        self._records, self._strings = kept, strings


def moved_strings(records: NDArray[np.void], strings: bytearray | memoryview, offset: int = 0) -> bytearray:
    """Return the strings that records mean, and no others; the records then mean them there.

    What isn't meant by a record any more isn't for the capture: it may be an argument that isn't kept.

    Args:
        records: Of one batch; their texts are changed.
        strings: The batch's.
        offset: Where the result will begin.
    """
    moved = bytearray()
    known: dict[bytes, int] = {}
    for name in ("text", "text2"):
        for row in np.flatnonzero(records[name]):
            begin = int(records[name][row]) - 1
            length = int.from_bytes(strings[begin : begin + LENGTH_BYTES], "little")
            text = bytes(strings[begin : begin + LENGTH_BYTES + length])
            if text not in known:
                known[text] = offset + len(moved) + 1
                moved += text
            records[name][row] = known[text]
    return moved
