"""How long the program's threads ran, and how long they were ready but had no CPU: by phase and in all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.mechanisms.cpu.scheduling import Counter, Scheduling
from llamactl.trace.mechanisms.interface.crossings import Tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.phases import ORDER, Phases

RAN, WAITED = 0, 1
"""Columns of a thread's looks."""
MOST_INTERVALS = 100_000
"""Of more intervals, this many are looked at, evenly spread, and stand for all."""
BUSY_SHARE = 0.3
"""A thread that ran or waited for less of a phase isn't one of those that compute in it."""
WANTED_SHARE = 0.5
"""Of the time between two looks: a thread that is at it for longer wanted a CPU in it."""

ALL = "all"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CpuRow:
    """One phase, or all of the recording."""

    name: str
    count: int
    """How often the phase was; for all: how many threads were looked at."""
    threads: int
    """Threads that were busy for most of it."""
    wall_ns: int
    wanted_ns: int
    """For how long a CPU was wanted: all of a phase; of the recording, when the thread that waited longest did."""
    ran_ns: int
    """CPU time of all threads together."""
    waited_ns: int
    """Ready to run, without a CPU; all threads together."""
    held_up_ns: int
    """How long the thread waited that waited longest: threads that compute together wait for it."""
    throttled_ns: int | None
    """How long the control group was throttled that was so most, on all CPUs together; None where none can be."""

    @property
    def share(self) -> float:
        """How much of the time that a CPU was wanted was spent waiting."""
        return self.held_up_ns / self.wanted_ns if self.wanted_ns > 0 else 0.0


@dataclass(frozen=True)
class Spans:
    """The spans of time of one phase, and by how much they stand for more of them."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    scale: float

    @classmethod
    def of(cls, phases: Phases, number: int, end_ns: int) -> Spans:
        """Return those of a phase that end before the recording did."""
        mine = np.flatnonzero(phases.number == number)
        step = -(-len(mine) // MOST_INTERVALS) or 1
        start, end = phases.start[mine], np.minimum(phases.end[mine], end_ns)
        every = int((end - start).sum())
        kept = int((end[::step] - start[::step]).sum())
        return cls(start[::step], end[::step], every / kept if kept else 1.0)

    @classmethod
    def wanting(cls, counter: Counter) -> Spans:
        """Return those between two looks in which a thread ran or waited for a CPU for most of the time."""
        at = (counter.begin + counter.end) // 2
        start, end = at[:-1], at[1:]
        spans = cls(start, end, 1.0)
        ran = counter.until(end, RAN) - counter.until(start, RAN)
        wanted = ran + spans.waits(counter) >= WANTED_SHARE * (end - start)
        return cls(start[wanted], end[wanted], 1.0)

    def waits(self, counter: Counter) -> FloatArray:
        """Return how long a thread waited for a CPU in each span."""
        found: FloatArray = counter.waited_until(self.end) - counter.waited_until(self.start)
        return found

    def waited(self, counter: Counter) -> float:
        """Return how long it waited in all of them."""
        return float(self.waits(counter).sum()) * self.scale

    def sum(self, counter: Counter, column: int) -> float:
        """Return what a column gained in all of them."""
        gained = counter.until(self.end, column) - counter.until(self.start, column)
        return float(gained.sum()) * self.scale

    @property
    def wall_ns(self) -> float:
        """How long they are together."""
        return float((self.end - self.start).sum()) * self.scale


def cpu_rows(
    scheduling: Scheduling | None, phases: Phases, exchange: Exchange | None, end_ns: int
) -> list[CpuRow]:
    """Return the phases in their order, then the whole recording; empty where nothing was looked up twice.

    Args:
        scheduling: What was looked up.
        phases: The phases of the capture.
        exchange: The calls into llama.cpp: they tell which threads can hold up a phase.
        end_ns: The recording's last moment.
    """
    if scheduling is None or not any(len(counter.begin) > 1 for counter in scheduling.threads.values()):
        return []
    holding = computing_threads(scheduling, exchange)
    group = most_throttled(scheduling)
    rows = [
        _row(scheduling, Spans.of(phases, number, end_ns), name, count, holding, group)
        for number, (name, count) in enumerate(phases.counts().items())
        if count
    ]
    known = {name: index for index, name in enumerate(ORDER)}
    return [*sorted(rows, key=lambda row: known.get(row.name, len(known))), _all(scheduling, holding, group)]


def waited_in_tokens(scheduling: Scheduling | None, exchange: Exchange, rows: Tokens) -> tuple[int, int]:
    """Return how long the threads that make the tokens were ready without a CPU, ns: after the decodes, and in all."""
    between = whole = 0.0
    pids = exchange.calls["pid"][rows.index]
    for tid in np.unique(rows.tid).tolist() if scheduling is not None else ():
        mine = np.flatnonzero(rows.tid == tid)
        counter = scheduling.threads.get((int(pids[mine[0]]), tid)) if scheduling else None
        if counter is not None:
            start, end = rows.start[mine], rows.start[mine] + rows.length_ns[mine]
            between += Spans(start + rows.in_call_ns[mine], end, 1.0).waited(counter)
            whole += Spans(start, end, 1.0).waited(counter)
    return round(between), round(whole)


def computing_threads(scheduling: Scheduling, exchange: Exchange | None) -> list[tuple[int, int]]:
    """Return the threads that can hold up a token: those that call llama.cpp, and those that never run Python.

    All threads where no call was seen.
    """
    if exchange is None:
        return list(scheduling.threads)
    pids = set(exchange.calls["pid"].tolist())
    calling = set(exchange.calls["tid"].tolist())
    python = set(exchange.gil["tid"].tolist())
    return [
        (pid, tid)
        for pid, tid in scheduling.threads
        if pid in pids and (tid in calling or (tid not in python and tid != pid))
    ]


def busy_threads(
    scheduling: Scheduling, spans: Spans, threads: Iterable[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Return those of some threads that ran or waited for a CPU for most of the spans."""
    least = BUSY_SHARE * spans.wall_ns
    found = []
    for key in threads:
        counter = scheduling.threads[key]
        if spans.wall_ns and spans.sum(counter, RAN) + spans.waited(counter) >= least:
            found.append(key)
    return found


def most_throttled(scheduling: Scheduling) -> bytes | None:
    """Return the control group that was throttled for longest while it was looked at; None for none."""
    found = {group: counter.total(1) for group, counter in scheduling.groups.items() if counter.total(0)}
    return max(found, key=lambda group: found[group]) if found else None


def _row(
    scheduling: Scheduling,
    spans: Spans,
    name: str,
    count: int,
    holding: list[tuple[int, int]],
    group: bytes | None,
) -> CpuRow:
    counters = scheduling.threads.values()
    held_up = np.zeros(len(spans.start))
    for key in holding:
        np.maximum(held_up, spans.waits(scheduling.threads[key]), out=held_up)
    held_up = np.minimum(held_up, spans.end - spans.start)
    return CpuRow(
        name=name,
        count=count,
        threads=len(busy_threads(scheduling, spans, holding)),
        wall_ns=round(spans.wall_ns),
        wanted_ns=round(spans.wall_ns),
        ran_ns=round(sum(spans.sum(counter, RAN) for counter in counters)),
        waited_ns=round(sum(spans.waited(counter) for counter in counters)),
        held_up_ns=round(float(held_up.sum()) * spans.scale),
        throttled_ns=_throttled(scheduling, spans, group),
    )


def _throttled(scheduling: Scheduling, spans: Spans, group: bytes | None) -> int | None:
    if group is not None:
        return round(spans.sum(scheduling.groups[group], 1))
    return 0 if scheduling.groups else None


def whole(scheduling: Scheduling, holding: list[tuple[int, int]]) -> Spans:
    """Return when the thread that waited longest wanted a CPU, for a recording without phases."""
    longest = max(holding, key=lambda key: scheduling.threads[key].total(WAITED), default=None)
    if longest is None:
        return Spans(np.zeros(0, np.int64), np.zeros(0, np.int64), 1.0)
    return Spans.wanting(scheduling.threads[longest])


def _all(scheduling: Scheduling, holding: list[tuple[int, int]], group: bytes | None) -> CpuRow:
    counters = scheduling.threads
    spans = whole(scheduling, holding)
    throttled = scheduling.groups[group].total(1) if group is not None else 0 if scheduling.groups else None
    held_up = max((spans.waited(counters[key]) for key in holding), default=0.0)
    return CpuRow(
        name=ALL,
        count=len(counters),
        threads=len(busy_threads(scheduling, spans, holding)),
        wall_ns=max(int(one.end[-1]) for one in counters.values())
        - min(int(one.begin[0]) for one in counters.values()),
        wanted_ns=round(spans.wall_ns),
        ran_ns=sum(counter.total(RAN) for counter in counters.values()),
        waited_ns=sum(counter.total(WAITED) for counter in counters.values()),
        held_up_ns=round(held_up),
        throttled_ns=throttled,
    )
