"""The control groups of a process: memory and CPU limits up the tree, and what they did so far.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llamactl.snapshot.process.proc import ProcessDir

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


def read_cgroups(process: ProcessDir) -> tuple[MemoryGroup | None, CpuGroup | None]:
    """Return the memory and CPU groups; None for a controller that isn't mounted.

    Raises:
        OSError: The process's list of groups can't be read.
    """
    groups = _groups(process.text("cgroup"))
    mounts = _mounts()
    memory = [_memory(level, version) for level, version in _levels("memory", groups, mounts)]
    cpu = [_cpu(level, version) for level, version in _levels("cpu", groups, mounts)]
    return _tightest_memory(memory), _tightest_cpu(cpu)


def _groups(text: str) -> dict[str, str]:
    """Return path by controller; the unified hierarchy (v2) has an empty name."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update((name, path) for name in controllers.split(","))
    return groups


def _mounts() -> dict[str, tuple[Path, str]]:
    """Return mount point and root of each hierarchy (proc_pid_mountinfo(5)), by controller."""
    mounts: dict[str, tuple[Path, str]] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        front, _, back = line.partition(" - ")
        part, kind = front.split(), back.split()
        place = (Path(part[4]), part[3])
        if kind[0] == "cgroup2":
            mounts[""] = place
        elif kind[0] == "cgroup":
            mounts.update((name, place) for name in kind[-1].split(","))
    return mounts


def _levels(
    controller: str, groups: dict[str, str], mounts: dict[str, tuple[Path, str]]
) -> Iterator[tuple[Path, int]]:
    """Yield the directories of a controller from the process's group up to the mount, and the version."""
    name, version = (controller, 1) if controller in mounts and controller in groups else ("", 2)
    if name not in mounts or name not in groups:
        return
    mount, root = mounts[name]
    path = groups[name]
    inside = path.removeprefix(root) if root != "/" else path
    place = mount / inside.lstrip("/")
    while True:
        if place.is_dir():
            yield place, version
        if place == mount or mount not in place.parents:
            return
        place = place.parent


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT_V1 else None


def _table(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text(encoding="ascii").splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    except (OSError, ValueError):
        return {}


def _memory(place: Path, version: int) -> MemoryGroup:
    stat = _table(place / "memory.stat")
    if version == 2:
        current, limit = _number(place / "memory.current"), _number(place / "memory.max")
        high, swap = _number(place / "memory.high"), _number(place / "memory.swap.max")
        names = ("active_file", "inactive_file", "slab_reclaimable")
        kills = _table(place / "memory.events").get("oom_kill")
    else:
        current, limit = _number(place / "memory.usage_in_bytes"), _number(place / "memory.limit_in_bytes")
        high, swap = _number(place / "memory.soft_limit_in_bytes"), None
        names = ("total_active_file", "total_inactive_file")
        kills = _table(place / "memory.oom_control").get("oom_kill")
    reclaimable = sum(stat.get(name, 0) for name in names) if stat else None
    headroom = limit - (current - (reclaimable or 0)) if limit is not None and current is not None else None
    return MemoryGroup(str(place), current, reclaimable, limit, high, headroom, swap, kills)


def _cpu(place: Path, version: int) -> CpuGroup:
    stat = _table(place / "cpu.stat")
    if version == 2:
        throttled = stat.get("throttled_usec")
        cpus = _quota_v2(place / "cpu.max")
        throttled_ns = throttled * 1000 if throttled is not None else None
    else:
        quota, period = _number(place / "cpu.cfs_quota_us"), _number(place / "cpu.cfs_period_us")
        cpus = quota / period if quota and period else None
        throttled_ns = stat.get("throttled_time")
    return CpuGroup(str(place), cpus, stat.get("nr_periods"), stat.get("nr_throttled"), throttled_ns)


def _quota_v2(path: Path) -> float | None:
    try:
        quota, period = path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return int(quota) / int(period) if quota != "max" else None


def _tightest_memory(levels: list[MemoryGroup]) -> MemoryGroup | None:
    limited = [level for level in levels if level.headroom_bytes is not None]
    return min(limited, key=lambda level: level.headroom_bytes or 0) if limited else next(iter(levels), None)


def _tightest_cpu(levels: list[CpuGroup]) -> CpuGroup | None:
    limited = [level for level in levels if level.cpus is not None]
    return min(limited, key=lambda level: level.cpus or 0.0) if limited else next(iter(levels), None)
