"""The memory that the agent and llamactl share: it has no name, and nobody can make it shorter.

A sealed memfd (memfd_create(2), F_ADD_SEALS in fcntl(2)): nothing of it is left in any directory however llamactl
ends, nobody can put something else in its place, and an access within its size is never a SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import resource
import secrets

from llamactl.errors import LlamactlError

NAME = "llamactl-agent"
NOEXEC_SEAL = 0x8
"""MFD_NOEXEC_SEAL, Linux 6.3; older ones refuse it."""
HIGH = 900
"""The descriptor's number: out of the way of those that a program opens or counts."""


class SharedMemory:
    """Memory for the traced program and us.

    Args:
        size: In bytes; all of it is there at once.

    Raises:
        LlamactlError: There is no room for it, or the kernel refuses.

    Attributes:
        map: The memory.
        key: A number that nobody else knows, for the header.
    """

    def __init__(self, size: int) -> None:
        self._fd = -1
        try:
            self._fd = _create()
            os.fchmod(self._fd, 0o600)
            # All of it now: a traced program that finds no room later would be killed by SIGBUS.
            os.posix_fallocate(self._fd, 0, size)
            fcntl.fcntl(
                self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            )
            self._fd = _moved(self._fd)
            self.map = mmap.mmap(self._fd, size)
        except OSError as error:
            self._close_descriptor()
            hint = "Free some memory." if error.errno in (errno.ENOSPC, errno.ENOMEM) else ""
            raise LlamactlError(f"can't create the agent's ring: {error.strerror}", hint) from error
        self.key = secrets.randbits(64) | 1

    @property
    def address(self) -> str:
        """What the program's environment says of it; see ``llamactl/native/agent/open.c``."""
        return f"{os.getpid():x}:{self._fd:x}:{os.fstat(self._fd).st_ino:x}:{self.key:x}"

    @property
    def fd(self) -> int:
        """Its descriptor here."""
        return self._fd

    def inherit(self, wanted: bool) -> None:
        """Let the processes that we start have the descriptor, or not."""
        if self._fd >= 0:
            os.set_inheritable(self._fd, wanted)

    def close(self) -> None:
        """Leave it; processes that have it mapped go on writing into memory that nobody reads."""
        self._close_descriptor()
        with contextlib.suppress(BufferError):  # Somebody still looks at it; it goes with the last look.
            self.map.close()

    def _close_descriptor(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _create() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(NAME, flags | NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(NAME, flags)


def _moved(fd: int) -> int:
    """Return the same descriptor with a high number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = HIGH if soft == resource.RLIM_INFINITY else min(HIGH, soft // 2)
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError:
        return fd
    os.close(fd)
    return high
