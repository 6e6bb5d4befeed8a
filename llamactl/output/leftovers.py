"""Drafts and folders that must have a name: locked while they are used, swept by the next who makes one.

What SIGKILL or a crash leaves behind is known by its name and by its lock, which the kernel takes off with
the process (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

YOUNG_S = 60.0
"""What is younger isn't swept: it may have been made by somebody who hasn't locked it yet."""


@contextmanager
def temporary_room(prefix: str, folder: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Yield a new directory, 0700, and remove it; remove those that were left behind, too.

    Args:
        prefix: What its name begins with, and nobody else's does.
        folder: Where; None for the usual place of temporary files.

    Raises:
        OSError: It can't be made.
    """
    place = tempfile.gettempdir() if folder is None else folder
    sweep(place, re.compile(re.escape(prefix) + r"[a-z0-9_]{8}"))
    room = tempfile.mkdtemp(prefix=prefix, dir=place)
    lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        hold(lock)
        yield Path(room)
    finally:
        os.close(lock)
        shutil.rmtree(room, ignore_errors=True)


def hold(descriptor: int) -> None:
    """Say that a draft or a folder is in use, until its descriptor is closed."""
    with suppress(OSError):  # A file system without locks: YOUNG_S is all that protects it.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def sweep(folder: str | os.PathLike[str], name: re.Pattern[str]) -> None:
    """Remove what somebody of this user left in a folder: of such a name, old, and held by nobody."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if name.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < YOUNG_S:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(found.st_mode):
            path.unlink()
    finally:
        os.close(descriptor)
