"""The processes that a process started, and theirs."""

from __future__ import annotations

from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs, parents first (``task/TID/children``, proc(5))."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop(0)
        for place in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(number) for number in place.read_text(encoding="ascii").split()]
            except OSError:  # the thread has ended
                continue
            found.extend(children)
            waiting.extend(children)
    return found
