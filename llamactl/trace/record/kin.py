"""The children that a process has when llamactl attaches to it: a server's workers do what its master is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamactl.process.descendants import descendants
from llamactl.process.files.holders import process_name
from llamactl.process.proc_text import stat_fields


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
                    if (fields := _stat(pid))
                ],
            }
        }


def _ended(pid: int) -> bool:
    """Tell whether a process is gone, or a zombie that its parent hasn't fetched."""
    return (_stat(pid) or ["X"])[0] in {"X", "Z"}


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's ``stat`` from its state on (proc_pid_stat(5)); empty for none."""
    try:
        return stat_fields(Path(f"/proc/{pid}/stat").read_bytes())[1]
    except (OSError, ValueError):
        return []
