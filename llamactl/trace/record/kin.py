"""The children that a process has when llamactl attaches to it: a server's workers do what its master is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from llamactl.process import proc_pid
from llamactl.process.descendants import descendants
from llamactl.process.files.holders import process_name


@dataclass
class Kin:
    """A process and its descendants.

    Attributes:
        pid: The process.
        children: Its descendants when it was looked at, parents first.
        recorded: Whether they are recorded with it.
    """

    pid: int
    recorded: bool
    children: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Whoever looks at the shell that it was started from doesn't mean llamactl itself.
        own = {os.getpid(), *descendants(os.getpid())}
        self.children = [pid for pid in descendants(self.pid) if pid not in own and not _ended(pid)]

    @property
    def others(self) -> list[int]:
        """Which processes are recorded besides the first."""
        return self.children if self.recorded else []

    def facts(self) -> dict[str, Any]:
        """Return who they are, for the capture's metadata."""
        return {
            "children": {
                "recorded": self.recorded,
                "processes": [
                    {"pid": pid, "name": process_name(pid), "parent": int(fields[1])}
                    for pid in self.children
                    if (fields := proc_pid.stat_of(pid))
                ],
            }
        }


def _ended(pid: int) -> bool:
    """Tell whether a process is gone, or a zombie that its parent hasn't fetched."""
    return (proc_pid.stat_of(pid) or ["X"])[0] in {"X", "Z"}
