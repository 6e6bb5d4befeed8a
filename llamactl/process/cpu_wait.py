"""How long threads of a process were ready without a CPU between two moments, and what their quotas did meanwhile.

Run delays are in ``/proc/PID/task/TID/schedstat`` (Documentation/scheduler/sched-stats.rst), throttling in ``cpu.stat``
of the control groups upwards: the group that has the quota counts, not those below it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from llamactl.process import proc_pid
from llamactl.process.cgroup import hierarchy
from llamactl.process.cpu_quota import Throttling, parse_cpu_stat, quota_of

NOTABLE_SHARE = 0.2
"""Waiting for less of the time isn't worth a word: other programs run now and then."""
LEAST_NS = 20_000_000


def notable(waited_ns: int, share: float) -> bool:
    """Tell whether threads waited for so long that a person wants to know."""
    return share >= NOTABLE_SHARE and waited_ns >= LEAST_NS


@dataclass(frozen=True, slots=True)
class CpuMoment:
    """What the kernel counted up to one moment.

    Attributes:
        at_ns: The moment, on CLOCK_MONOTONIC.
        waited_ns: Run delay of each thread.
        groups: Throttling by directory.
    """

    at_ns: int
    waited_ns: dict[int, int]
    groups: dict[str, Throttling]


@dataclass(frozen=True, slots=True)
class CpuWaits:
    """What happened between two moments.

    Attributes:
        waited_ns: How long the thread waited that waited longest: threads that compute together wait for it.
        waited_share: For how much of the time that is.
        notable: Whether that is more than now and then.
        group: The control group that was throttled longest; None where none was.
        throttled_periods: In how many periods it was.
        periods: Of how many.
        throttled_ns: For how long, on all CPUs together.
        quota_us: Its quota in each period; None where it has gone meanwhile.
        period_us: The period.
    """

    waited_ns: int
    waited_share: float
    notable: bool
    group: str | None
    throttled_periods: int
    periods: int
    throttled_ns: int
    quota_us: int | None
    period_us: int | None


def cpu_moment(pid: int | None = None) -> CpuMoment | None:
    """Return what is counted so far; None where the kernel doesn't count run delays, or there is no such process."""
    process = "self" if pid is None else pid
    waited: dict[int, int] = {}
    for thread in proc_pid.threads_if_any(process):
        words = proc_pid.read_or_nothing(process, f"task/{thread}/schedstat").split()
        if len(words) > 1:
            waited[thread] = int(words[1])
    found = hierarchy("cpu", pid)
    groups = {}
    for directory in found.upwards() if found else ():
        stat = parse_cpu_stat(_read(directory / "cpu.stat"))
        if stat is not None:
            groups[str(directory)] = stat
    return CpuMoment(time.monotonic_ns(), waited, groups) if waited else None


def waits_between(before: CpuMoment | None, after: CpuMoment | None) -> CpuWaits | None:
    """Return what happened between two moments; None where one of them is unknown."""
    if before is None or after is None:
        return None
    wall = max(after.at_ns - before.at_ns, 1)
    # A thread that is new has done nothing before. More than the time there was is the reading's own wait.
    waited = min(max(ns - before.waited_ns.get(tid, 0) for tid, ns in after.waited_ns.items()), wall)
    gained = {
        group: (stat, old)
        for group, stat in after.groups.items()
        if (old := before.groups.get(group)) is not None and stat.throttled_periods > old.throttled_periods
    }
    share = waited / wall
    if not gained:
        return CpuWaits(waited, share, notable(waited, share), None, 0, 0, 0, None, None)
    group = max(gained, key=lambda name: gained[name][0].throttled_ns - gained[name][1].throttled_ns)
    stat, old = gained[group]
    quota = quota_of(Path(group))
    return CpuWaits(
        waited_ns=waited,
        waited_share=share,
        notable=notable(waited, share),
        group=group,
        throttled_periods=stat.throttled_periods - old.throttled_periods,
        periods=stat.periods - old.periods,
        throttled_ns=stat.throttled_ns - old.throttled_ns,
        quota_us=quota.quota_us if quota else None,
        period_us=quota.period_us if quota else None,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # The thread has ended, or the group has no such file.
        return b""
