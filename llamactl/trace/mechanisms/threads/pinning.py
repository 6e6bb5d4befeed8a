"""Who said on which CPUs threads may run: calls of sched_setaffinity(2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.mechanisms.view import View, codes_of

MOST = 1000


@dataclass(frozen=True, slots=True)
class Pin:
    """One successful call.

    Attributes:
        at_ns: When.
        pid: The process that called.
        tid: Its thread.
        target: The thread that was placed.
    """

    at_ns: int
    pid: int
    tid: int
    target: int


class PinningTable:
    """Collects the first of these calls."""

    def __init__(self) -> None:
        self.pins: list[Pin] = []
        self._wanted = codes_of({"sched_setaffinity"})

    def add(self, view: View) -> None:
        """Look through a piece."""
        if not len(view.calls) or len(self.pins) >= MOST:
            return
        rows = np.flatnonzero(self._wanted[view.code] & view.finished & ~view.failed)
        targets = view.argument(0, rows)
        for row, target in zip(rows.tolist(), targets.tolist(), strict=True):
            tid = int(view.tid[row])
            placed = int(target) & 0x7FFFFFFF
            self.pins.append(Pin(int(view.start[row]), int(view.pid[row]), tid, placed or tid))
