"""Which of the things measured in a slow token covers its excess."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import UNKNOWN_CPU
from llamactl.trace.mechanisms.slow.slow_measures import Measured
from llamactl.trace.mechanisms.slow.slow_workers import Worker

FAULT_CPU_NS = 50_000
"""CPU time that a major fault may cost beside the wait, recording it included; 38 µs in a virtual machine."""


class Cause(Enum):
    """Why a token was slow."""

    GIL = "waiting for the GIL"
    SAMPLER = "a longer sampler"
    OTHER_CALLS = "other calls into llama.cpp"
    SYSTEM_CALLS = "system calls between the calls"
    PYTHON = "Python between the calls"
    COLLECTOR = "Python's garbage collector"
    MAJOR_FAULTS = "page faults read from disk"
    THROTTLED = "throttled by the control group"
    PREEMPTED = "preempted"
    MIGRATED = "preempted and moved to another CPU"
    NO_CPU = "preempted or throttled in the decode"
    BARRIER = "a thread missing at the barrier"
    GPU = "waiting for the GPU"
    BLOCKED = "blocked in the decode"
    AWAY = "off the CPU in the decode, blocked or preempted"
    COMPUTING = "more computing in the decode"
    UNEXPLAINED = "unexplained"


Figures = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible cause: how much of the excess it covers, and the figures that show it."""

    cause: Cause
    explained_ns: int
    evidence: Figures = ()
    subject: str | None = None
    thread: int | None = None


@dataclass
class _Left:
    """The parts of one token's excess that nothing has explained yet, ns."""

    parts: dict[Cause, int]
    away: int
    busy: int
    found: list[Candidate] = field(default_factory=list)

    def take(self, most: int, *, inside: bool) -> int:
        """Explain up to ``most``: in the decode, the time off the CPU first; then outside of it, if allowed."""
        taken = min(most, self.away)
        self.away -= taken
        if inside:
            busy = min(most - taken, self.busy)
            self.busy -= busy
            return taken + busy
        for cause in sorted(self.parts, key=lambda cause: -self.parts[cause]):
            part = min(most - taken, self.parts[cause]) if cause is not Cause.GIL else 0
            self.parts[cause] -= part
            taken += part
        return taken


def candidates(measured: Measured, index: int, excess: int) -> list[Candidate]:
    """Return the possible causes of one token.

    Args:
        measured: All tokens.
        index: This one.
        excess: By how much it is longer than the median, ns.
    """
    left = _left(measured, index)
    missing = _missing(measured, index, left)
    own_delay = 0 if measured.delay is None else int(measured.delay[index])
    # Both may wait at the same time; whoever waited longer is who the others waited for.
    if missing is not None and missing.explained_ns > own_delay:
        _add(missing, left)
        missing = None
    _no_cpu(measured, index, excess, left)
    _gpu(measured, index, left)
    if missing is not None:
        _add(missing, left)
    if measured.cpu is not None:
        _away(measured, index, left)
        counts = (("ns of CPU time in the decode", int(measured.cpu[index])), *_moves(measured, index))
        left.found.append(Candidate(Cause.COMPUTING, left.busy, counts))
    left.found += [
        Candidate(cause, value, ((WHAT[cause], int(_series(measured, cause)[index])),))
        for cause, value in left.parts.items()
    ]
    return left.found


WHAT = {
    Cause.GIL: "ns waiting for the GIL",
    Cause.SAMPLER: "ns in samplers",
    Cause.OTHER_CALLS: "ns in other calls",
    Cause.SYSTEM_CALLS: "ns in system calls",
    Cause.PYTHON: "ns in Python",
    Cause.COLLECTOR: "ns collecting garbage",
}


def _series(measured: Measured, cause: Cause) -> IntArray:
    found = {
        Cause.GIL: measured.gil,
        Cause.SAMPLER: measured.sampler,
        Cause.OTHER_CALLS: measured.other,
        Cause.SYSTEM_CALLS: measured.system,
        Cause.PYTHON: measured.python,
        Cause.COLLECTOR: measured.collecting,
    }[cause]
    assert found is not None
    return found


def _excess(values: IntArray, index: int) -> int:
    return max(int(values[index]) - int(np.median(values)), 0)


def _left(measured: Measured, index: int) -> _Left:
    outside = [Cause.GIL, Cause.SAMPLER, Cause.OTHER_CALLS, Cause.PYTHON]
    parts = {cause: _excess(_series(measured, cause), index) for cause in outside}
    if measured.collecting is not None:
        parts[Cause.COLLECTOR] = min(_excess(measured.collecting, index), parts[Cause.PYTHON])
        parts[Cause.PYTHON] -= parts[Cause.COLLECTOR]
    if measured.system is not None:
        parts[Cause.SYSTEM_CALLS] = min(_excess(measured.system, index), parts[Cause.PYTHON])
        parts[Cause.PYTHON] -= parts[Cause.SYSTEM_CALLS]
    if measured.cpu is None:
        return _Left(parts, 0, _excess(measured.decode, index))
    away = _excess(np.maximum(measured.decode - measured.cpu, 0), index)
    return _Left(parts, away, _excess(np.minimum(measured.cpu, measured.decode), index))


def _no_cpu(measured: Measured, index: int, excess: int, left: _Left) -> None:
    """The thread could run and had no CPU: run delay, which holds the time it was throttled."""
    if measured.delay is None:
        return
    delay = left.take(min(int(measured.delay[index]), excess), inside=measured.cpu is None)
    throttled = 0 if measured.throttled is None else min(int(measured.throttled[index]), delay)
    figures = (("ns waiting for a CPU", int(measured.delay[index])),)
    if throttled:
        assert measured.throttled is not None
        evidence = (("ns throttled", int(measured.throttled[index])), *figures)
        left.found.append(Candidate(Cause.THROTTLED, throttled, evidence, measured.group))
    moves = _moves(measured, index)
    cause = Cause.MIGRATED if moves else Cause.PREEMPTED
    left.found.append(Candidate(cause, delay - throttled, (*figures, *_switches(measured, index), *moves)))


def _switches(measured: Measured, index: int) -> Figures:
    if measured.involuntary is None:
        return ()
    return (("involuntary context switches", int(measured.involuntary[index])),)


def _moves(measured: Measured, index: int) -> Figures:
    if measured.moved is None:
        return ()
    begun, ended = int(measured.moved[0][index]), int(measured.moved[1][index])
    if begun == ended or UNKNOWN_CPU in {begun, ended}:
        return ()
    return (("from CPU", begun), ("to CPU", ended))


def _gpu(measured: Measured, index: int, left: _Left) -> None:
    if measured.gpu is not None and measured.gpu[index]:
        value = left.take(_excess(measured.gpu, index), inside=True)
        awaited = int(measured.awaited[index])
        driver = int(measured.gpu[index]) - awaited
        figures = (
            *((("ns waiting for what the decode started", awaited),) if awaited else ()),
            *((("ns in calls to the GPU's driver", driver),) if driver else ()),
        )
        left.found.append(Candidate(Cause.GPU, value, figures))


def _missing(measured: Measured, index: int, left: _Left) -> Candidate | None:
    """Find the worker that was missing for longest: without a CPU, stopped, or in a system call."""
    room = left.away + left.busy
    found = [_of_worker(measured, worker, index, room) for worker in measured.workers]
    return max((one for one in found if one is not None), key=lambda one: one.explained_ns, default=None)


def _of_worker(measured: Measured, worker: Worker, index: int, room: int) -> Candidate | None:
    delay, idle = min(int(worker.delay[index]), room), min(int(worker.idle[index]), room)
    if delay >= idle:
        figures = (("ns waiting for a CPU", int(worker.delay[index])),)
        return Candidate(Cause.BARRIER, delay, figures, "without a CPU", worker.tid) if delay else None
    if worker.major is not None and worker.major[index] > np.median(worker.major):
        faults = (("major page faults", int(worker.major[index])), ("ns off the CPU", idle))
        return Candidate(Cause.MAJOR_FAULTS, idle, faults, None, worker.tid)
    why = worker.away_in(int(measured.start[index]), int(measured.decode[index]))
    figures = (("ns off the CPU", int(worker.idle[index])),)
    return Candidate(Cause.BARRIER, idle, figures, why, worker.tid) if why else None


def _add(found: Candidate, left: _Left) -> None:
    """Let a missing worker explain what it can of the time in the decode."""
    left.found.append(replace(found, explained_ns=left.take(found.explained_ns, inside=True)))


def _away(measured: Measured, index: int, left: _Left) -> None:
    """Say why the thread was off the CPU for the rest: by faults, system calls and counts of switches."""
    if measured.voluntary is None or measured.involuntary is None:
        return
    waiting = 0 if measured.waiting is None else min(_excess(measured.waiting, index), left.away)
    if measured.major is not None and measured.major[index] > np.median(measured.major):
        major = int(measured.major[index])
        handling = min(left.busy, major * FAULT_CPU_NS)
        left.busy -= handling
        figures = (("major page faults", major),)
        left.found.append(Candidate(Cause.MAJOR_FAULTS, left.away - waiting + handling, figures))
        left.found.append(Candidate(Cause.BLOCKED, waiting, _in_calls(measured, index)))
        return
    left.found.append(_by_switches(measured, index, left.away, waiting))


def _in_calls(measured: Measured, index: int) -> Figures:
    return () if measured.waiting is None else (("ns in system calls", int(measured.waiting[index])),)


def _by_switches(measured: Measured, index: int, away: int, waiting: int) -> Candidate:
    assert measured.voluntary is not None
    assert measured.involuntary is not None
    voluntary, involuntary = int(measured.voluntary[index]), int(measured.involuntary[index])
    counts = (("voluntary context switches", voluntary), ("involuntary context switches", involuntary))
    blocked = voluntary > np.median(measured.voluntary)
    if measured.delay is not None:
        # What is left of the time off the CPU was no waiting for one.
        return Candidate(Cause.BLOCKED, away, counts) if blocked else Candidate(Cause.UNEXPLAINED, 0)
    preempted = involuntary > np.median(measured.involuntary)
    if blocked and preempted:
        if measured.waiting is None:
            return Candidate(Cause.AWAY, away, counts)
        in_calls = Candidate(Cause.BLOCKED, waiting, _in_calls(measured, index))
        return in_calls if 2 * waiting >= away else Candidate(Cause.NO_CPU, away - waiting, counts)
    if not blocked and not preempted:
        return Candidate(Cause.UNEXPLAINED, 0)
    return Candidate(Cause.BLOCKED if blocked else Cause.NO_CPU, away, counts)
