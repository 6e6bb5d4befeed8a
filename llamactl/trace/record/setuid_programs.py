"""Programs of a capture that should have gained rights when they were started, but couldn't while traced."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import numpy as np

from llamactl.process.answering import answered_stat
from llamactl.trace.capture.record import Kind
from llamactl.trace.decode.table import ARCH_NAMES, numbers

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture

_ATTRIBUTE = "security.capability"
"""Where the kernel keeps a file's capabilities (capabilities(7))."""


def notes_on_setuid(capture: Capture) -> tuple[str, ...]:
    """Return a sentence for each setuid, setgid or setcap program that was started (execve(2), ptrace(2))."""
    found = {path: gain for path in sorted(_started(capture)) if (gain := _gain(path))}
    return tuple(
        f"{path} is {gain}: it ran without its extra rights because it was traced"
        for path, gain in found.items()
    )


def _started(capture: Capture) -> set[str]:
    """Return the paths of successful execve calls; relative ones are looked for where we are."""
    paths = set()
    for chunk in capture.raw_pieces():
        rows = np.flatnonzero((chunk["kind"] == Kind.SYSCALL) & (chunk["ret"] == 0))
        for arch in range(len(ARCH_NAMES)):
            mine = rows[(chunk["nr"][rows] == numbers(arch)["execve"]) & (chunk["arch"][rows] == arch)]
            paths |= {os.fsdecode(capture.text(reference)) for reference in np.unique(chunk["text"][mine])}
    return paths


def _gain(path: str) -> str | None:
    """Say by what a file gives rights that this user hasn't; None for a plain one, and for one that is gone."""
    try:
        status = answered_stat(path)
    except (OSError, ValueError):
        return None
    if status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid():
        return f"setuid to user {status.st_uid}"
    if (
        status.st_mode & stat.S_ISGID
        and status.st_mode & stat.S_IXGRP
        and status.st_gid not in os.getgroups()
    ):
        return f"setgid to group {status.st_gid}"
    try:
        return "setcap" if _ATTRIBUTE in os.listxattr(path) else None
    except OSError:
        return None
