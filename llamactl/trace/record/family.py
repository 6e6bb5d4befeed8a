"""The processes of a recording, and samples of each: a launcher's children do the work that it is started for.

Births and ends come from what the engine records. A process is looked at until it is gone from /proc, as a zombie
too: what it read in all is known only then. Parents are sampled before their children, so that what a parent took
over from a child that it waited for (``wait_task_zombie`` in the kernel's exit.c adds a child's counters to its
parent's) always shows in a later sample of the parent than the child's last one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import RECORD, Kind, Task
from llamactl.trace.record.clocked import sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE = 0.02
"""Of one CPU: with many processes they are sampled less often than asked."""

_BIRTHS = (int(Task.CLONE), int(Task.FORK), int(Task.VFORK))


@dataclass
class Family:
    """Which processes are being recorded, in the order of their births."""

    _alive: dict[int, str | None] = field(default_factory=dict)
    """When each was started by the kernel's count, None before the first look: a number may be given away again."""
    _begun: set[int] = field(default_factory=set)
    cost_s: float = 0.0

    def begin(self, pids: list[int]) -> None:
        """Take the processes that are recorded from the start; a second time does nothing."""
        new = set(pids) - self._begun - {0}
        self._begun |= new
        self._alive.update(dict.fromkeys(pid for pid in pids if pid in new))

    def alive(self) -> set[int]:
        """Return the processes that weren't gone when they were sampled last."""
        return set(self._alive)

    def follow(self, records: NDArray[np.void]) -> None:
        """Take the births in a batch of an engine's."""
        tasks = records[records["kind"] == Kind.TASK]
        born = tasks[np.isin(tasks["nr"], _BIRTHS)]
        children = born["args"][:, 1].astype(np.int64)
        for child in children[(children != born["pid"]) & (children != 0)].tolist():
            self._alive.pop(child, None)
            self._alive[child] = None

    def sample(self) -> NDArray[np.void]:
        """Return samples of all processes that are there, all of one moment, and forget those that are gone."""
        begin = time.thread_time()
        parts = [np.zeros(0, RECORD)]
        for pid, born in list(self._alive.items()):
            started = sampler.start_time(pid)
            if started is None or born not in {None, started}:
                del self._alive[pid]
                continue
            self._alive[pid] = started
            parts.append(sampler.counters(pid))
        self.cost_s = time.thread_time() - begin
        found = np.concatenate(parts)
        found["start"] = time.monotonic_ns()
        return found

    def pause_s(self, wanted_s: float) -> float:
        """Return how long to wait until the next sample."""
        return max(wanted_s, self.cost_s / SHARE)
