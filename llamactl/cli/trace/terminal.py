"""Whose the terminal is, before anything is drawn on it."""

from __future__ import annotations

import os
import stat
import sys

from llamactl.process import proc_pid


def is_ours(pid: int | None) -> bool:
    """Tell whether a line may be drawn on stderr: a terminal that the program has nothing to do with.

    A program that we start has our terminal, and its output stands there; one that runs already may have it.

    Args:
        pid: The program; None for one that we start.
    """
    return pid is not None and sys.stderr.isatty() and _apart(pid, sys.stderr.fileno())


def _apart(pid: int, descriptor: int) -> bool:
    mine = os.fstat(descriptor).st_rdev
    try:
        links = [link for link in proc_pid.place(pid, "fd").iterdir() if int(link.name) < 3]
        found = [link.stat() for link in links]
    except OSError:
        return False
    return all(not stat.S_ISCHR(one.st_mode) or one.st_rdev != mine for one in found)
