"""How long a thread was ready to run but had to wait for a CPU: what other programs take from a measurement."""

from __future__ import annotations

import os

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
