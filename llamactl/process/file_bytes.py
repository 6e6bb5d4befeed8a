"""The bytes of somebody's file, read with pread(2) where they are asked for.

A mapping would be quicker to write, but whoever owns the file can cut it short while it is looked at: then a
mapping is SIGBUS, which ends llamactl and with it the program that it started.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path
from typing import Any

from llamactl.process.answering import ask

MOST_BYTES = 256 * 2**20
"""Of one piece; the largest tables of symbols have some ten MiB."""


class FileBytes:
    """A regular file; slices are read when they are taken, and are short where it ends or after ``MOST_BYTES``.

    Raises:
        OSError: It can't be opened, its file system doesn't answer, or isn't a regular file.
    """

    __slots__ = ("_fd", "_size")

    def __init__(self, path: Path) -> None:
        ask(path, read=True)
        # Never waits for the other end of a pipe.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        status = os.fstat(self._fd)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        return os.pread(self._fd, min(stop - start, MOST_BYTES), start) if stop > start else b""

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        """Return the values at an offset.

        Raises:
            struct.error: They would reach past the end of the file.
        """
        return struct.unpack(layout, self[offset : offset + struct.calcsize(layout)])
