"""Which call into llama.cpp a system call, a page fault or any other record belongs to.

A record belongs to the innermost call of its own thread in which it began. Worker threads have no calls of
their own: see :func:`woken_by` for theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.interface.exchange import Exchange, durations, ends, outermost, starts, timed

OUTSIDE = -1
MAJOR = 1


def owners(exchange: Exchange, records: NDArray[np.void]) -> IntArray:
    """Return for each record the index in ``exchange.calls`` of the call it began in, ``OUTSIDE`` for none.

    Args:
        exchange: The calls; one whose end was lost owns nothing.
        records: Records of any kind.
    """
    result = np.full(len(records), OUTSIDE, np.int64)
    calls = exchange.calls
    for tid in np.intersect1d(records["tid"], calls["tid"]):
        moments, owner = _timeline(calls, np.flatnonzero((calls["tid"] == tid) & timed(calls)))
        mine = np.flatnonzero(records["tid"] == tid)
        place = np.searchsorted(moments, starts(records[mine]), "right") - 1
        inside = place >= 0
        result[mine[inside]] = owner[place[inside]]
    return result


def woken_by(exchange: Exchange, records: NDArray[np.void]) -> IntArray:
    """Return owners as :func:`owners`, and for threads without calls the one call that was under way.

    A worker's record belongs to a call of another thread of its process if exactly one outermost call was
    under way when it began; with several at a time nobody can tell, and it stays outside. So do Python's
    own threads.
    """
    result = owners(exchange, records)
    calls = exchange.calls
    outer = np.flatnonzero(outermost(calls) & timed(calls))
    # A thread that lets the GIL go runs Python, and the first thread of a process is nobody's worker.
    others = np.isin(records["tid"], np.union1d(calls["tid"], exchange.gil["tid"]))
    workers = np.flatnonzero(~others & (records["tid"] != records["pid"]))
    for pid in np.unique(records["pid"][workers]):
        own = outer[calls["pid"][outer] == pid]
        mine = workers[records["pid"][workers] == pid]
        moments = starts(records[mine])
        begun = np.searchsorted(np.sort(starts(calls[own])), moments, "right")
        over = np.searchsorted(np.sort(ends(calls[own])), moments, "right")
        latest = begun - 1
        one = (begun - over) == 1
        # The one under way began last unless a shorter call came and went inside of it.
        candidate = own[np.argsort(starts(calls[own]), kind="stable")][latest[one]]
        holds = ends(calls[candidate]) > moments[one]
        result[mine[one]] = np.where(holds, candidate, OUTSIDE)
    return result


def _timeline(calls: NDArray[np.void], rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return the moments at which the innermost call of a thread changes, and which it is from then on."""
    moments: list[int] = []
    owner: list[int] = []
    stack: list[tuple[int, int]] = []
    begin, end = starts(calls), ends(calls)
    for row in rows.tolist():
        while stack and stack[-1][1] <= begin[row]:
            _leave(stack, moments, owner)
        moments.append(int(begin[row]))
        owner.append(row)
        stack.append((row, int(end[row])))
    while stack:
        _leave(stack, moments, owner)
    return np.array(moments, np.int64), np.array(owner, np.int64)


def _leave(stack: list[tuple[int, int]], moments: list[int], owner: list[int]) -> None:
    _, end = stack.pop()
    moments.append(end)
    owner.append(stack[-1][0] if stack else OUTSIDE)


@dataclass(frozen=True, slots=True)
class FunctionWork:
    """What the kernel did for one function; ``name`` is None for what began outside of all calls."""

    name: str | None
    count: int
    """System calls."""
    system_ns: int
    minor_faults: int
    major_faults: int


def work_by_function(exchange: Exchange, records: NDArray[np.void]) -> list[FunctionWork]:
    """Add up SYSCALL and FAULT records by the function they belong to, workers included.

    Returns:
        The functions with any, those with the most time first; outside of all calls last.
    """
    owner = woken_by(exchange, records)
    numbers = np.full(len(records), OUTSIDE, np.int64)
    inside = owner != OUTSIDE
    numbers[inside] = exchange.calls["nr"][owner[inside]]
    found: dict[str | None, FunctionWork] = {}
    for number in np.unique(numbers).tolist():
        name = None if number == OUTSIDE else exchange.functions[number].name
        more = _work(name, records[numbers == number])
        before = found.get(name)
        found[name] = more if before is None else _sum(before, more)
    return sorted(found.values(), key=lambda row: (row.name is None, -row.system_ns, -row.count))


def _work(name: str | None, records: NDArray[np.void]) -> FunctionWork:
    system = records[records["kind"] == Kind.SYSCALL]
    faults = records[records["kind"] == Kind.FAULT]
    major = int((faults["nr"] == MAJOR).sum())
    return FunctionWork(name, len(system), int(durations(system).sum()), len(faults) - major, major)


def _sum(one: FunctionWork, other: FunctionWork) -> FunctionWork:
    return FunctionWork(
        one.name,
        one.count + other.count,
        one.system_ns + other.system_ns,
        one.minor_faults + other.minor_faults,
        one.major_faults + other.major_faults,
    )
