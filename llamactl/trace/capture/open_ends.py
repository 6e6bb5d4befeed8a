"""Where intervals end that were still open when recording ended: at that end, or where their thread ended.

A call that never returned has no length of its own. Whatever adds up, sorts or shows lengths needs one, and must be
able to say that it is only what was seen: so the record gets the length up to the end, and keeps ``Flag.NO_EXIT``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import Flag, Kind, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMED = (Kind.SYSCALL, Kind.CALL, Kind.GIL, Kind.PHASE, Kind.DEVICE)
"""Kinds of records that last."""
_COUNTABLE = 1 << 16
LOOKS = (Kind.COUNTER, Kind.FD, Kind.MAP, Kind.SCHED)
"""Kinds that a look at a program makes, also while the recording of what it does is still being set up."""
_IS_LOOK = np.isin(np.arange(256), LOOKS)
_IS_TIMED = np.isin(np.arange(256), TIMED)


def is_timed(records: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which records are of a kind that lasts."""
    found: NDArray[np.bool_] = _IS_TIMED[records["kind"]]
    return found


class OpenEnds:
    """The extent of a recording, and of what was open at its end.

    Args:
        chunks: The records as they were written.
        begin_ns: When recording began, where the recorder says so; None for the first record.
        end_ns: When it ended, likewise.
        endless: Only entries of calls into llama.cpp were caught: their ends are unknown, not open.

    Attributes:
        begin_ns: The first moment of the recording; 0 without any record.
        end_ns: The last one.
    """

    def __init__(
        self,
        chunks: Iterable[NDArray[np.void]],
        begin_ns: int | None = None,
        end_ns: int | None = None,
        endless: bool = False,
    ) -> None:
        self._endless = endless
        self._deaths: dict[int, list[int]] = {}
        self._latest: dict[int, int] = {}
        first, last = [] if begin_ns is None else [begin_ns], [] if end_ns is None else [end_ns]
        looks: list[int] = []
        for chunk in chunks:
            if len(chunk):
                done = chunk[~_IS_LOOK[chunk["kind"]]]
                first += [int(done["start"].min())] if len(done) else []
                looks.append(int(chunk["start"].min()))
                # A look after the end that the recorder tells doesn't make the recording longer.
                within = chunk if end_ns is None else done
                last += [int((within["start"] + within["duration"]).max())] if len(within) else []
                self._note_deaths(chunk)
                self._note_latest(chunk)
        self.begin_ns, self.end_ns = min(first or looks, default=0), max(last, default=0)

    def close(self, records: NDArray[np.void]) -> NDArray[np.void]:
        """Return records of the capture with a length for each that was open at its end.

        A system call behind which its thread made others has lost its end, as has a call into llama.cpp that was left
        by an exception: ``Flag.LEFT`` says that nothing is known of its length.
        """
        flags = records["flags"]
        is_open = (flags & int(Flag.NO_EXIT) != 0) & (flags & int(Flag.LEFT) == 0) & is_timed(records)
        rows = np.flatnonzero(is_open)
        if not len(rows):
            return records
        closed: NDArray[np.void] = records.copy()
        for row in rows.tolist():
            end = self._end_of(closed[row])
            if end is None:
                closed["flags"][row] |= int(Flag.LEFT)
                closed["duration"][row] = 0
            else:
                closed["duration"][row] = max(end - int(closed["start"][row]), 0)
        return closed

    def _end_of(self, record: np.void) -> int | None:
        """Return when an open record's thread or the recording ended; None where its end was lost."""
        kind, tid, start = int(record["kind"]), int(record["tid"]), int(record["start"])
        if kind == Kind.CALL and self._endless:
            return None
        if kind == Kind.SYSCALL and self._latest.get(tid, start) > start:
            return None
        deaths = self._deaths.get(tid, ())
        return min((moment for moment in deaths if moment >= start), default=self.end_ns)

    def _note_deaths(self, chunk: NDArray[np.void]) -> None:
        tasks = chunk[chunk["kind"] == Kind.TASK]
        for record in tasks[tasks["nr"] == Task.EXIT]:
            self._deaths.setdefault(int(record["tid"]), []).append(int(record["start"]))

    def _note_latest(self, chunk: NDArray[np.void]) -> None:
        """Note when each thread entered its last system call."""
        calls = chunk["kind"] == Kind.SYSCALL
        tid = chunk["tid"][calls].astype(np.int64)
        if not len(tid):
            return
        low, width = int(tid.min()), int(np.ptp(tid)) + 1
        if width <= _COUNTABLE:  # Counting beats sorting where the numbers lie close together.
            tids, index = np.arange(low, low + width), tid - low
        else:
            tids, index = np.unique(tid, return_inverse=True)
        latest = np.zeros(len(tids), np.uint64)
        np.maximum.at(latest, index, chunk["start"][calls])
        used = np.flatnonzero(latest)
        for tid_used, moment in zip(tids[used].tolist(), latest[used].tolist(), strict=True):
            self._latest[tid_used] = max(self._latest.get(tid_used, 0), moment)
