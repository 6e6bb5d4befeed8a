"""Read a process's memory: allocator headers, thread descriptors, and the paths of imported Python files.

Nothing else of it is kept.

``/proc/PID/mem`` asks for the same permission as ptrace but stops nothing (proc_pid_mem(5)).
"""

from __future__ import annotations

import os
import struct

from llamactl.process.proc import ProcessDir


class TargetMemory:
    """The memory of a process; every read is empty where memory may not be read."""

    def __init__(self, process: ProcessDir) -> None:
        try:
            self._descriptor = os.open("mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process.descriptor)
        except OSError as error:
            process.refuse("threads", error, "thread descriptors (/proc/PID/mem)")
            self._descriptor = -1

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, address: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``address``."""
        if self._descriptor < 0 or not 0 < address < 1 << 63:
            return b""
        try:
            return os.pread(self._descriptor, size, address)
        except OSError:  # not mapped, not readable, or the process has ended
            return b""

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Return ``count`` 64-bit words at ``address``; empty when they can't all be read."""
        data = self.read(address, 8 * count)
        return struct.unpack(f"<{count}Q", data) if len(data) == 8 * count else ()
