"""How long a thread was ready to run but had to wait for a CPU: what other programs take from a measurement."""

from __future__ import annotations

import os
from time import perf_counter_ns

from llamactl.process import proc_pid

FILE = str(proc_pid.place("thread-self", "schedstat"))


class RunDelay:
    """The kernel's account of the thread that makes it (``run_delay``, Documentation/scheduler/sched-stats.rst).

    The file stays open, so that a reading takes microseconds and can stand next to the clock's.

    Attributes:
        available: Whether the kernel keeps the account (CONFIG_SCHED_INFO).
    """

    def __init__(self) -> None:
        self._fd = -1
        try:
            self._fd = os.open(FILE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.available = False
            return
        self.available = self.read_ns() is not None

    def read_ns(self) -> int | None:
        """Return the nanoseconds waited so far; ``None`` where the kernel doesn't tell."""
        if self._fd < 0:
            return None
        try:
            words = os.pread(self._fd, 128, 0).split()
            return int(words[1])
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Stopwatch:
    """Takes wall time and the waits for a CPU in it.

    The two can't be read at the same instant, and a wait of many milliseconds may fall in between. So the account
    is read outside of the time that counts, and the time that its reading took is taken off the waits: they are
    never more than the true ones, and microseconds less.

    Attributes:
        reads: System calls of both readings together.
    """

    def __init__(self, account: RunDelay) -> None:
        self._account = account
        self.reads = 2 if account.available else 0
        self._waited_before: int | None = None
        self._reading_ns = self._begin_ns = 0

    def start(self) -> None:
        """Begin."""
        before = perf_counter_ns()
        self._waited_before = self._account.read_ns()
        self._begin_ns = perf_counter_ns()
        self._reading_ns = self._begin_ns - before

    def stop(self) -> tuple[int, int | None]:
        """Return wall time and waits since the start, in nanoseconds; ``None`` where the kernel doesn't tell."""
        end_ns = perf_counter_ns()
        waited = self._account.read_ns()
        reading_ns = self._reading_ns + perf_counter_ns() - end_ns
        ns = end_ns - self._begin_ns
        if waited is None or self._waited_before is None:
            return ns, None
        return ns, min(max(waited - self._waited_before - reading_ns, 0), ns)
