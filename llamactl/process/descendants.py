"""The processes that a process started, and theirs."""

from __future__ import annotations

from llamactl.process import proc_pid


def descendants(pid: int) -> list[int]:
    """Return the children of a process and theirs, parents first (``task/TID/children``, proc(5))."""
    found, waiting = [], [pid]
    while waiting:
        children = _children(waiting.pop(0))
        found.extend(children)
        waiting.extend(children)
    return found


def _children(parent: int) -> list[int]:
    return [
        int(child)
        for thread in proc_pid.threads_if_any(parent)
        for child in proc_pid.read_or_nothing(parent, f"task/{thread}/children").split()
    ]
