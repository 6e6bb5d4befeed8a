"""Which threads stand still in a call that should have ended, on what, and who is at the other end.

Most threads of a program sleep, and are well: in an event loop, in an idle pool, in ``accept``, waiting for a
child or for somebody's next request. What is listed here is different: a write that nobody takes, a lock,
a connection or an answer that doesn't come, a file that isn't delivered, threads that wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from llamactl.process.proc import ProcessDir
from llamactl.process.threads.last_ran import seconds_asleep
from llamactl.process.threads.thread_roles import Thread
from llamactl.process.threads.threads import Reading, switches_now
from llamactl.snapshot.process.address_space import AddressSpace
from llamactl.snapshot.process.standing_calls import Calls
from llamactl.snapshot.process.standing_facts import Case, Standing
from llamactl.snapshot.process.standing_futexes import futex_cases

Asleep: TypeAlias = Callable[[ProcessDir, int, int], "float | None"]
LEAST_S = 1.0
"""Who waits for less isn't said to stand."""


@dataclass(frozen=True, slots=True)
class _Timed:
    """A case, for how long its thread hasn't run, and whether that is all that is known."""

    case: Case
    seconds: float
    at_least: bool


def find_standing(
    process: ProcessDir,
    threads: Sequence[Thread],
    space: AddressSpace | None,
    asleep: Asleep = seconds_asleep,
) -> list[Standing]:
    """Return the threads that stand, those that wait for the same thing together, longest first.

    Args:
        process: The process.
        threads: Its threads, as they were read a moment ago.
        space: Its address space; None where it may not be read, and futexes say nothing then.
        asleep: Tells for how many seconds a thread hasn't run.
    """
    stopped = [thread.reading for thread in threads if thread.reading.state == "T"]
    if stopped and len(stopped) == len(threads):
        first = stopped[0]
        seconds = asleep(process, first.thread, first.last_cpu)
        numbers = tuple(reading.thread for reading in stopped)
        return [Standing("stopped", numbers, first.name, "", "", seconds, at_least=True, ends=())]
    calls = Calls(process, space.memory if space else None, len(threads) == 1)
    cases: list[Case] = []
    for thread in threads:
        cases += calls.cases(thread.reading)
    cases += futex_cases(process, threads, space) if space else []
    return sorted(_together(_timed(process, threads, cases, asleep)), key=lambda one: -(one.seconds or 0.0))


def _timed(
    process: ProcessDir, threads: Sequence[Thread], cases: Sequence[Case], asleep: Asleep
) -> list[_Timed]:
    """Return the cases with their time, without those whose thread ran less than :data:`LEAST_S` ago."""
    readings = {thread.reading.thread: thread.reading for thread in threads}
    found: list[_Timed] = []
    untold: list[Case] = []
    for case in cases:
        seconds = case.seconds or _shortest(
            process, [readings[one] for one in (case.thread, *case.others)], asleep
        )
        if seconds is None:
            untold.append(case)
        elif seconds >= LEAST_S:
            found.append(_Timed(case, seconds, at_least=case.seconds is not None))
    if untold:
        time.sleep(LEAST_S)
        found += [
            _Timed(case, LEAST_S, at_least=True)
            for case in untold
            if switches_now(process, case.thread) == readings[case.thread].voluntary_switches
        ]
    return found


def _shortest(process: ProcessDir, readings: Sequence[Reading], asleep: Asleep) -> float | None:
    """Return for how many seconds none of these threads has run."""
    times = [asleep(process, one.thread, one.last_cpu) for one in readings]
    return None if None in times else min(time for time in times if time is not None)


def _together(timed: Iterable[_Timed]) -> list[Standing]:
    groups: dict[tuple[object, ...], list[_Timed]] = {}
    for one in timed:
        case = one.case
        groups.setdefault((case.why, case.call, case.object, case.ends), []).append(one)
    return [_standing(group) for group in groups.values()]


def _standing(group: Sequence[_Timed]) -> Standing:
    case = group[0].case
    longest = max(one.seconds for one in group)
    numbers = tuple(one.case.thread for one in group)
    return Standing(
        case.why,
        (*numbers, *case.others),
        case.name,
        case.call,
        case.object,
        longest or None,
        any(one.at_least for one in group),
        case.ends,
    )
