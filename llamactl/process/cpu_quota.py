"""A control group's CPU quota, and how often and for how long it was throttled (cgroups(7), version 1 and 2).

Documentation/admin-guide/cgroup-v2.rst (``cpu.max``, ``cpu.stat``) and Documentation/scheduler/sched-bwc.rst
(``cpu.cfs_quota_us``, ``throttled_time``). A quota counts in the group that has it: groups below it stand still
with it, but their own counters don't move.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class Quota:
    """CPU time per time.

    Attributes:
        quota_us: So much CPU time, of all CPUs together, in each period.
        period_us: The period.
        file: Where it is set.
    """

    quota_us: int
    period_us: int
    file: str

    @property
    def cpus(self) -> float:
        """How many CPUs that is."""
        return self.quota_us / self.period_us


@dataclass(frozen=True, slots=True)
class Throttling:
    """What ``cpu.stat`` counts; the time is of all CPUs together, and counted when a throttling ends."""

    throttled_periods: int
    throttled_ns: int
    periods: int


def quota_of(directory: Path) -> Quota | None:
    """Return the quota that a group sets itself; None where it sets none."""
    for name in ("cpu.max", "cpu.cfs_quota_us"):
        words = _read(directory / name).split()
        if not words:
            continue
        if not words[0].isdigit():  # "max", -1
            return None
        period = words[1] if len(words) > 1 else _read(directory / "cpu.cfs_period_us")
        period_us = int(period) if period.isdigit() else DEFAULT_PERIOD_US
        return Quota(int(words[0]), period_us, str(directory / name)) if period_us else None
    return None


def parse_cpu_stat(text: bytes) -> Throttling | None:
    """Return the counters of a ``cpu.stat``; None where the group has none of them, as the root's."""
    words = text.split()
    found = {
        name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()
    }
    time_us = found.get(b"throttled_usec")
    ns = found.get(b"throttled_time") if time_us is None else time_us * 1000
    if ns is None:
        return None
    return Throttling(found.get(b"nr_throttled", 0), ns, found.get(b"nr_periods", 0))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
