"""What the kernel killed for memory while a program was recorded, by control group (cgroups(7)) and in all."""

from __future__ import annotations

from pathlib import Path

from llamactl.process.cgroup import ROOT, hierarchy
from llamactl.process.groups import MACHINE, oom_kills, oom_kills_of_machine


class OomKills:
    """Counters of out-of-memory kills, read before and after.

    Args:
        pid: The program.
        root: Where ``/proc`` and ``/sys`` are found, for tests.
    """

    def __init__(self, pid: int, root: Path = ROOT) -> None:
        self._root = root
        found = hierarchy("memory", pid, root)
        self._places = [] if found is None else [(place, found.version) for place in found.upwards()]
        self._before = self._read()

    def since(self) -> dict[str, int]:
        """Return by how much each counter grew that can still be read; the innermost group first."""
        now = self._read()
        return {group: max(now[group] - count, 0) for group, count in self._before.items() if group in now}

    def _read(self) -> dict[str, int]:
        counts = {str(place): oom_kills(place, version) for place, version in self._places}
        counts[MACHINE] = oom_kills_of_machine(self._root)
        return {group: count for group, count in counts.items() if count is not None}
