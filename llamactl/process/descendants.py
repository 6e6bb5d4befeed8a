"""The processes that a process started, and theirs."""

from __future__ import annotations

import os
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs, parents first (``task/TID/children``, proc(5))."""
    found, waiting = [], [pid]
    while waiting:
        children = _children(waiting.pop(0))
        found.extend(children)
        waiting.extend(children)
    return found


def _children(parent: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{parent}/task")
    except OSError:  # it has ended
        return []
    found: list[int] = []
    for thread in threads:
        try:
            text = Path(f"/proc/{parent}/task/{thread}/children").read_text(encoding="ascii")
        except OSError:  # the thread has ended
            continue
        found.extend(map(int, text.split()))
    return found
