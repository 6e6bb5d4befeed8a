"""Who else used the CPUs of a program that waited for them: the CPU time of other processes, from ``/proc/PID/stat``."""

from __future__ import annotations

import os
import time
from collections.abc import Collection

from llamactl.process import proc_pid
from llamactl.process.proc_text import stat_fields
from llamactl.trace.capture.record import Sched
from llamactl.trace.record.clocked.scheduling_sources import TICK_NS, Row

MOST = 4096
"""Of more processes on the machine, the others aren't looked at."""
NAMED = 3


class Neighbours:
    """Looks once when it is begun, and names who ran most until it is ended. A process that came and went isn't seen."""

    def __init__(self) -> None:
        self._before: dict[int, int] | None = None
        self._since = 0

    @property
    def begun(self) -> bool:
        """Whether the first look has been taken."""
        return self._before is not None

    def begin(self) -> None:
        """Take the first look; a few milliseconds with some hundred processes."""
        self._since = time.monotonic_ns()
        self._before = {pid: ticks for pid, ticks, _, _ in _processes()}

    def end(self, own: Collection[int], cpus: Collection[int]) -> list[Row]:
        """Return rows of those that ran most meanwhile.

        Args:
            own: The program's processes.
            cpus: The CPUs that it may use; who ran on others took nothing from it.
        """
        if self._before is None:
            return []
        before, now = self._before, time.monotonic_ns()
        found = [
            (ticks - before.get(pid, 0), pid, name)
            for pid, ticks, name, cpu in _processes()
            if pid not in own and cpu in cpus and ticks > before.get(pid, 0)
        ]
        return [
            Row(Sched.NEIGHBOUR, pid, pid, self._since, now, (ticks * TICK_NS,), name)
            for ticks, pid, name in sorted(found, reverse=True)[:NAMED]
        ]


def _processes() -> list[tuple[int, int, bytes, int]]:
    """Return number, ticks of CPU time, name and last CPU of each process (proc_pid_stat(5))."""
    found: list[tuple[int, int, bytes, int]] = []
    for pid in proc_pid.processes()[:MOST]:
        try:
            comm, fields = stat_fields(proc_pid.read(pid, "stat"))
        except (OSError, ValueError):  # It has ended.
            continue
        if len(fields) > 36:
            ticks, cpu = int(fields[11]) + int(fields[12]), int(fields[36])
            found.append((pid, ticks, os.fsencode(comm), cpu))
    return found
