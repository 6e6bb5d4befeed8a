"""How long a thread was ready to run but had to wait for a CPU: what other programs take from a measurement."""

from __future__ import annotations

import os
from time import perf_counter_ns

FILE = "/proc/thread-self/schedstat"


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


class Waited:
    """The waits between :meth:`start` and :meth:`stop`, to be called just outside of another clock's readings.

    A wait may fall between that clock's reading and this one's. So the time that reading took is taken off:
    the result is never more than the true waits, and microseconds less.
    """

    def __init__(self, account: RunDelay) -> None:
        self._account = account
        self._before: int | None = None
        self._outside_ns = 0

    def start(self) -> None:
        """Begin."""
        begin = perf_counter_ns()
        self._before = self._account.read_ns()
        self._outside_ns = perf_counter_ns() - begin

    def stop(self) -> int | None:
        """Return the nanoseconds waited; ``None`` where the kernel doesn't tell."""
        begin = perf_counter_ns()
        now = self._account.read_ns()
        self._outside_ns += perf_counter_ns() - begin
        if now is None or self._before is None:
            return None
        return max(now - self._before - self._outside_ns, 0)
