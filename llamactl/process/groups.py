"""The control groups of a process: memory and CPU limits up the tree, and what they did so far.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llamactl.process.cgroup import ROOT, hierarchy
from llamactl.process.cpu_quota import parse_cpu_stat, quota_of
from llamactl.process.proc_text import proc_lines

MACHINE = ""
"""In place of a group: the whole machine."""
_NO_LIMIT_V1 = 1 << 60  # v1 writes a number near 2**63 for "no limit"


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """Memory of the group that limits the process most.

    ``reclaimable_bytes`` is page cache and kernel caches that the kernel drops before it fails an
    allocation; ``headroom_bytes`` is the limit minus what is used and can't be dropped. None is unknown
    or, for limits, none.
    """

    path: str
    current_bytes: int | None
    reclaimable_bytes: int | None
    limit_bytes: int | None
    high_bytes: int | None
    headroom_bytes: int | None
    swap_limit_bytes: int | None
    oom_kills: int | None


@dataclass(frozen=True, slots=True)
class CpuGroup:
    """CPU time of the group with the smallest quota; ``cpus`` is quota by period, None without one."""

    path: str
    cpus: float | None
    periods: int | None
    throttled_periods: int | None
    throttled_ns: int | None


@dataclass(frozen=True, slots=True)
class PidsGroup:
    """Processes and threads of the group that leaves the fewest.

    ``limit`` is None without one; ``refused`` is how many births the limit has refused so far, None where the
    kernel doesn't count them.
    """

    path: str
    current: int | None
    limit: int | None
    refused: int | None


def read_pids_group(pid: int, root: Path = ROOT) -> PidsGroup | None:
    """Return the group whose limit of processes and threads a process meets first; None without the controller.

    Args:
        pid: The process.
        root: Where ``/proc`` and ``/sys`` are found, for tests.
    """
    found = hierarchy("pids", pid, root)
    levels = [pids_group_at(place) for place in found.upwards()] if found else []
    limited = [level for level in levels if level.limit is not None]
    if not limited:
        return next(iter(levels), None)
    return min(limited, key=lambda level: (level.limit or 0) - (level.current or 0))


def pids_group_at(place: Path) -> PidsGroup:
    """Return what a group's directory says."""
    current, limit = _number(place / "pids.current"), _number(place / "pids.max")
    return PidsGroup(str(place), current, limit, _table(place / "pids.events").get("max"))


def read_groups(pid: int) -> tuple[MemoryGroup | None, CpuGroup | None]:
    """Return the memory and CPU groups of a process; None for a controller that isn't mounted."""
    memory, cpu = hierarchy("memory", pid), hierarchy("cpu", pid)
    return (
        _tightest_memory([_memory(place, memory.version) for place in memory.upwards()]) if memory else None,
        _tightest_cpu([_cpu(place) for place in cpu.upwards()]) if cpu else None,
    )


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT_V1 else None


def _table(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in proc_lines(path.read_bytes()))
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    except (OSError, ValueError):
        return {}


def oom_kills(place: Path, version: int) -> int | None:
    """Return how many processes of a group the kernel has killed for memory; of those below it, too, with version 2."""
    return _table(place / ("memory.events" if version == 2 else "memory.oom_control")).get("oom_kill")


def oom_kills_of_machine(root: Path = ROOT) -> int | None:
    """Return how many processes the kernel has killed for memory since it started (``/proc/vmstat``)."""
    return _table(root / "proc/vmstat").get("oom_kill")


def _memory(place: Path, version: int) -> MemoryGroup:
    stat = _table(place / "memory.stat")
    if version == 2:
        current, limit = _number(place / "memory.current"), _number(place / "memory.max")
        high, swap = _number(place / "memory.high"), _number(place / "memory.swap.max")
        names = ["active_file", "inactive_file", "slab_reclaimable"]
    else:
        current, limit = _number(place / "memory.usage_in_bytes"), _number(place / "memory.limit_in_bytes")
        high, swap = _number(place / "memory.soft_limit_in_bytes"), None
        names = ["total_active_file", "total_inactive_file"]
    reclaimable = sum(stat.get(name, 0) for name in names) if stat else None
    headroom = limit - (current - (reclaimable or 0)) if limit is not None and current is not None else None
    return MemoryGroup(
        str(place), current, reclaimable, limit, high, headroom, swap, oom_kills(place, version)
    )


def _cpu(place: Path) -> CpuGroup:
    try:
        stat = parse_cpu_stat((place / "cpu.stat").read_bytes())
    except OSError:
        stat = None
    quota = quota_of(place)
    cpus = quota.cpus if quota else None
    if stat is None:
        return CpuGroup(str(place), cpus, None, None, None)
    return CpuGroup(str(place), cpus, stat.periods, stat.throttled_periods, stat.throttled_ns)


def _tightest_memory(levels: list[MemoryGroup]) -> MemoryGroup | None:
    limited = [level for level in levels if level.headroom_bytes is not None]
    return min(limited, key=lambda level: level.headroom_bytes or 0) if limited else next(iter(levels), None)


def _tightest_cpu(levels: list[CpuGroup]) -> CpuGroup | None:
    limited = [level for level in levels if level.cpus is not None]
    return min(limited, key=lambda level: level.cpus or 0.0) if limited else next(iter(levels), None)
