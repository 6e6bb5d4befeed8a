"""How a process ended that isn't our child.

Until its parent has asked, ``/proc/PID/stat`` tells it (proc_pid_stat(5)); after that the kernel does, through a pidfd
that was open before (Linux 6.15: ``PIDFD_GET_INFO`` with ``PIDFD_INFO_EXIT`` of include/uapi/linux/pidfd.h).
"""

from __future__ import annotations

import fcntl
import os
import struct

from llamactl.process import proc_pid

_INFO = struct.Struct("<QQ11Ii")
"""``struct pidfd_info`` as of its first version: mask, cgroup id, eleven ids, exit status."""
_INFO_BYTES = 64
_GET_INFO = 3 << 30 | _INFO_BYTES << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3
_STATE, _EXIT_CODE = 0, 49
_ZOMBIE = "Z"
"""Fields of ``stat`` after the name, and the state of a process that has ended."""


class ExitStatus:
    """Learns how a process ends.

    Args:
        pid: The process, still there.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        try:
            self._fd = os.pidfd_open(pid)
        except OSError:  # It has ended, or this kernel is older than 5.3.
            self._fd = -1

    def status(self) -> int | None:
        """Return the status as from ``os.waitpid``; None while it runs, and where the kernel doesn't tell."""
        told = self._of_pidfd()
        return status_of_zombie(self._pid) if told is None else told

    def _of_pidfd(self) -> int | None:
        if self._fd < 0:
            return None
        asked = bytearray(_INFO_BYTES)
        struct.pack_into("<Q", asked, 0, _EXIT)
        try:
            fcntl.ioctl(self._fd, _GET_INFO, asked)
        except OSError:
            return None
        mask, *_, status = _INFO.unpack_from(asked)
        return int(status) if mask & _EXIT else None

    def close(self) -> None:
        """Let go of the process."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def status_of_zombie(pid: int) -> int | None:
    """Return the status of a process that has ended and whose parent hasn't asked yet; None for any other."""
    try:
        fields = proc_pid.stat_of(pid)
        return int(fields[_EXIT_CODE]) if fields[_STATE] == _ZOMBIE else None
    except (ValueError, IndexError):
        return None
