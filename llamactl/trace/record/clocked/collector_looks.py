"""The garbage collectors of the program's processes, looked at while they run: when everything was collected."""

from __future__ import annotations

import time

from llamactl.process import proc_pid
from llamactl.process.memory.regions import SYMBOLS, find_regions
from llamactl.process.python.collector import Collector
from llamactl.trace.capture.record import Sched
from llamactl.trace.record.clocked.scheduling_sources import Row

FIRST_TRY_S = 0.1
TRIES = 8
"""Each twice as late as the one before: Python begins some time after the process, and loads its library first."""
NO_SYMBOL = "where its state lies isn't told (no symbol _PyRuntime)"
NOT_LOOKED_AT = "its collector isn't of a kind that llamactl knows, or its memory may not be read"


class CollectorLooks:
    """Finds the collectors, and looks at each when it is told to.

    Attributes:
        unseen: Why the collector of a process with Python isn't seen, by process.
    """

    def __init__(self) -> None:
        self.unseen: dict[int, str] = {}
        self._found: dict[int, Collector] = {}
        self._last: dict[int, tuple[tuple[bool, int], int]] = {}
        self._tries: dict[int, tuple[int, float]] = {}

    def find(self, processes: frozenset[int]) -> None:
        """Look for the collectors of processes in which none has been found; seldom, and not for ever."""
        now = time.monotonic()
        for pid in processes - self._found.keys():
            tries, at = self._tries.get(pid, (0, now + FIRST_TRY_S))
            self._tries[pid] = tries, at
            if tries < TRIES and now >= at:
                self._tries[pid] = tries + 1, now + FIRST_TRY_S * 2 ** (tries + 1)
                self._find(pid)

    def look(self, rows: list[Row]) -> None:
        """Look at each collector once; a row only where something is new."""
        for pid, collector in list(self._found.items()):
            begin = time.monotonic_ns()
            state = collector.read()
            end = time.monotonic_ns()
            if state is None:
                self._drop(pid)
                continue
            before, seen = self._last.get(pid, (None, begin))
            if state != before:
                args = int(state[0]), state[1], seen
                rows.append(Row(Sched.COLLECTOR, pid, pid, begin, end, args))
            self._last[pid] = state, end

    def close(self) -> None:
        """Look no more."""
        for pid in list(self._found):
            self._drop(pid)

    def _find(self, pid: int) -> None:
        if b"python" not in proc_pid.read_or_nothing(pid, "maps"):  # Then its objects needn't be read.
            return
        places = find_regions(pid).get(SYMBOLS[0], [])
        if not places and self._tries[pid][0] == TRIES:
            self.unseen[pid] = NO_SYMBOL
        for place in places:
            try:
                self._found[pid] = Collector(pid, place)
            except (LookupError, OSError):
                self.unseen[pid] = NOT_LOOKED_AT
            else:
                self.unseen.pop(pid, None)
                return

    def _drop(self, pid: int) -> None:
        self._found.pop(pid).close()
        self._last.pop(pid, None)
