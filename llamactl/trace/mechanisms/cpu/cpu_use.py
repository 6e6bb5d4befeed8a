"""Whether the computing threads got what the machine could give: who or what kept CPUs from them.

Judged against the CPUs that the threads may use, not against the run's own median: a program whose every token is
slow has no slow token.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from llamactl.process.cpu_budget import parse_cpu_list
from llamactl.process.cpu_wait import notable
from llamactl.trace.mechanisms.cpu.cpu_time import (
    ALL,
    RAN,
    CpuRow,
    Spans,
    busy_threads,
    computing_threads,
    most_throttled,
    whole,
)
from llamactl.trace.mechanisms.cpu.scheduling import Counter, Neighbour, Scheduling
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.phases import Phases

BY_QUOTA = 0.25
"""Throttling of this much of the time held up is what did it."""
FREE_FOR_WAITING = 0.5
"""CPUs that were idle for this much of the time that threads waited weren't taken by anyone."""
STOLEN_SHARE = 0.1
COMPUTING = ("decode", "prefill")


class CpuVerdict(Enum):
    """What kept CPUs from the threads; the value is its name in JSON."""

    OK = "ok"
    QUOTA = "quota"
    HIDDEN_QUOTA = "hidden-quota"
    OWN_THREADS = "own-threads"
    OWN_OTHERS = "own-others"
    NEIGHBOURS = "neighbours"
    UNKNOWN = "unknown"
    """Nobody looked at the CPUs."""
    UNSEEN = "unseen"
    """The group was throttled, and no look saw the threads that it stopped."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """The control group that was throttled for longest while the program was looked at.

    Attributes:
        group: Its directory.
        throttled_periods: In how many periods it was throttled.
        periods: Of how many.
        throttled_ns: For how long, on all CPUs together.
        quota_us: Its quota; 0 where it had none when it was last looked at.
        period_us: Its period.
    """

    group: str
    throttled_periods: int
    periods: int
    throttled_ns: int
    quota_us: int
    period_us: int


@dataclass(frozen=True, slots=True)
class CpuUse:
    """What the computing threads had of the CPUs.

    Attributes:
        verdict: Why they waited, if they did.
        what: What was held up: ``decode``, ``prefill``, or ``all`` where no phase is known.
        waited_share: For how much of its time it was.
        waited_ns: That time.
        threads: Threads that compute at once.
        cpus: CPUs that these may use; None where that wasn't looked up.
        cores: Cores behind them.
        cpu_list: Which they are.
        quota_cpus: The least quota of their control groups, in CPUs; None for none.
        idle_share: How much of these CPUs was idle meanwhile; None where it is unknown.
        stolen_share: How much the hypervisor took.
        others_cpus: CPUs that were busy with other programs.
        neighbours: Who these are, those that ran most first; empty where nobody could be seen.
        processes: How many processes compute.
        throttled_share: For how much of the time their control group was throttled (all CPUs together, so it can be
            more than 1).
        throttle: The quota that stopped them, if one did.
    """

    verdict: CpuVerdict
    what: str
    waited_share: float
    waited_ns: int
    threads: int
    cpus: int | None
    cores: int | None
    cpu_list: str | None
    quota_cpus: float | None
    idle_share: float | None
    stolen_share: float | None
    others_cpus: float | None
    neighbours: tuple[Neighbour, ...]
    processes: int
    throttled_share: float
    throttle: Throttle | None

    @property
    def stolen_notably(self) -> bool:
        """Whether the hypervisor took so much that it is worth a word."""
        return self.stolen_share is not None and self.stolen_share >= STOLEN_SHARE


def cpu_use(
    rows: list[CpuRow],
    scheduling: Scheduling | None,
    phases: Phases,
    exchange: Exchange | None,
    end_ns: int,
) -> CpuUse | None:
    """Judge; None where nothing was looked up.

    Args:
        rows: What :func:`llamactl.trace.mechanisms.cpu.cpu_time.cpu_rows` found.
        scheduling: What was looked up.
        phases: The phases of the capture.
        exchange: The calls into llama.cpp.
        end_ns: The recording's last moment.
    """
    if scheduling is None or not rows:
        return None
    by_name = {row.name: row for row in rows}
    held_up = [by_name[name] for name in COMPUTING if name in by_name] or [by_name[ALL]]
    row = max(held_up, key=lambda one: (_notable(one), one.held_up_ns))
    holding = computing_threads(scheduling, exchange)
    span = whole(scheduling, holding)
    if row.name in phases.names:
        span = Spans.of(phases, phases.names.index(row.name), end_ns)
    busy = busy_threads(scheduling, span, holding)
    cpus, cores, listed = _cpus(scheduling, busy, int(span.end[-1]) if len(span.end) else end_ns)
    machine = _machine(scheduling, span)
    wall = max(span.wall_ns, 1.0)
    throttle = _throttle(scheduling)
    everything = sum(span.sum(counter, RAN) for counter in scheduling.threads.values())
    own = sum(span.sum(scheduling.threads[key], RAN) for key in busy)
    others = None if machine is None else max(machine.busy - everything, 0.0) / wall
    verdict = CpuVerdict.OK if busy or throttle is None else CpuVerdict.UNSEEN
    if _notable(row):
        waiting = sum(span.waited(scheduling.threads[key]) for key in busy)
        verdict = _why(row, throttle, machine, waiting, cpus, len(busy), own, others, everything - own)
    return CpuUse(
        verdict=verdict,
        what=row.name,
        waited_share=row.share,
        waited_ns=row.held_up_ns,
        threads=max(len(busy), *(one.threads for one in held_up)),
        cpus=cpus,
        cores=cores,
        cpu_list=listed,
        quota_cpus=_quota(scheduling),
        idle_share=None if machine is None else machine.idle / machine.whole,
        stolen_share=None if machine is None else machine.stolen / machine.whole,
        others_cpus=others,
        neighbours=scheduling.neighbours,
        processes=len({pid for pid, _ in busy}),
        throttled_share=(row.throttled_ns or 0) / wall,
        throttle=throttle,
    )


def _notable(row: CpuRow) -> bool:
    return notable(row.held_up_ns, row.share)


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the CPUs did in the spans, ns of all of them together."""

    busy: float
    idle: float
    stolen: float

    @property
    def whole(self) -> float:
        return max(self.busy + self.idle + self.stolen, 1.0)


def _machine(scheduling: Scheduling, span: Spans) -> _Machine | None:
    found = [
        _Machine(*(span.sum(counter, column) for column in range(3)))
        for counter in scheduling.machine.values()
    ]
    best = max(found, key=lambda one: one.whole, default=None)
    return best if best is not None and best.whole > 1 else None


def _why(
    row: CpuRow,
    throttle: Throttle | None,
    machine: _Machine | None,
    waiting_ns: float,
    cpus: int | None,
    threads: int,
    own_ns: float,
    others_cpus: float | None,
    own_others_ns: float,
) -> CpuVerdict:
    """Return what kept the CPUs from threads that waited for them."""
    wall = max(row.wanted_ns, 1)
    if throttle is not None and (row.throttled_ns or 0) >= BY_QUOTA * row.held_up_ns:
        return CpuVerdict.QUOTA
    if machine is not None and machine.idle >= FREE_FOR_WAITING * waiting_ns:
        return CpuVerdict.HIDDEN_QUOTA
    others_ns = None if others_cpus is None else others_cpus * wall + own_others_ns
    if (
        cpus is not None
        and threads > cpus
        and own_ns >= (cpus * wall / 2 if others_ns is None else others_ns)
    ):
        return CpuVerdict.OWN_THREADS
    if others_cpus is None:
        return CpuVerdict.UNKNOWN
    return CpuVerdict.OWN_OTHERS if own_others_ns > others_cpus * wall else CpuVerdict.NEIGHBOURS


def _cpus(
    scheduling: Scheduling, threads: list[tuple[int, int]], end_ns: int
) -> tuple[int | None, int | None, str | None]:
    """Return how many CPUs threads might use when they computed last, how many cores these are, and which."""
    found = []
    for key in threads:
        known = [one for one in scheduling.allowed.get(key, ()) if one.since <= end_ns]
        known = known or scheduling.allowed.get(key, [])[:1]  # Seen just after it had begun.
        found += known[-1:]
    if not found:
        return None, None, None
    union = set().union(*(parse_cpu_list(one.cpus) for one in found))
    cores = sum({one.cpus: one.cores for one in found}.values())
    lists = sorted({one.cpus for one in found})
    return len(union), min(cores, len(union)), ",".join(lists)


def _throttle(scheduling: Scheduling) -> Throttle | None:
    group = most_throttled(scheduling)
    if group is None:
        return None
    counter = scheduling.groups[group]
    quota, period = (int(word) for word in counter.values[-1, 4:6])
    return Throttle(
        group.decode("utf-8", "backslashreplace"),
        counter.total(0),
        counter.total(2),
        counter.total(1),
        quota,
        period,
    )


def _quota(scheduling: Scheduling) -> float | None:
    found = [_cpus_of(counter) for counter in scheduling.groups.values()]
    return min((cpus for cpus in found if cpus is not None), default=None)


def _cpus_of(counter: Counter) -> float | None:
    quota, period = (int(word) for word in counter.values[-1, 4:6])
    return quota / period if quota and period else None
