"""What was measured in each token: the figures that explain the slow ones."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.cpu.scheduling import Scheduling
from llamactl.trace.mechanisms.interface.crossings import Tokens, sums_by_token
from llamactl.trace.mechanisms.interface.exchange import Exchange, durations, starts, timed
from llamactl.trace.mechanisms.interface.sampler_share import in_samplers
from llamactl.trace.mechanisms.slow.slow_workers import Worker, workers

MAJOR = 1


@dataclass(frozen=True)
class Evidence:
    """What a capture may hold beside calls and the GIL; None for what wasn't recorded.

    Attributes:
        system_calls: SYSCALL records by start.
        gpu_calls: Those of them that work on a GPU's device node.
        scheduling: CPU time, run delays and throttling.
        faults: FAULT records by start.
        place: Returns the tensor or file at (process, address, moment).
        collecting: For how long Python's garbage collector was at work in each token, ns.
    """

    system_calls: NDArray[np.void] | None = None
    gpu_calls: NDArray[np.void] | None = None
    scheduling: Scheduling | None = None
    faults: NDArray[np.void] | None = None
    place: Callable[[int, int, int], str | None] | None = None
    collecting: IntArray | None = None


@dataclass(frozen=True)
class Measured:
    """What is known of each token, as arrays of equal length; None where it wasn't recorded.

    Attributes:
        start: When the decode began.
        gil: Waiting for the GIL, ns.
        sampler: In samplers, without the Python that they call back, ns.
        other: In other calls into llama.cpp, ns.
        python: Between the calls, ns.
        collecting: Python's garbage collector at work, ns.
        system: In system calls between the calls, ns.
        decode: In the decode, ns, waiting for what it started included.
        cpu: CPU time of the calling thread in the decode, ns.
        major: Major faults of the calling thread in the decode.
        waiting: In system calls of the calling thread in the decode, ns.
        gpu: Waiting for what the decode started on a device, and in system calls on a GPU's device node in the
            decode, ns.
        awaited: Of that: waiting for what the decode started, ns.
        voluntary: Voluntary context switches in the decode.
        involuntary: Involuntary ones.
        delay: Run delay of the calling thread around the token, beyond what is usual for so long, ns.
        throttled: Time that its control group was throttled, likewise.
        group: That control group.
        moved: The CPU on which the thread was just before the token, and just after it.
        workers: The other threads that don't run Python.
    """

    start: IntArray
    gil: IntArray
    sampler: IntArray
    other: IntArray
    python: IntArray
    collecting: IntArray | None
    system: IntArray | None
    decode: IntArray
    cpu: IntArray | None
    major: IntArray | None
    waiting: IntArray | None
    gpu: IntArray | None
    awaited: IntArray
    voluntary: IntArray | None
    involuntary: IntArray | None
    delay: IntArray | None
    throttled: IntArray | None
    group: str | None
    moved: tuple[IntArray, IntArray] | None
    workers: list[Worker]


def measure(exchange: Exchange, rows: Tokens, known: Evidence) -> Measured:
    """Draw all figures from the records."""
    sampler = in_samplers(exchange, rows)
    decodes = exchange.calls[rows.index]
    switches, faults = exchange.argument(decodes, "switches"), exchange.argument(decodes, "faults")
    throttled, group = _throttled(rows, known.scheduling)
    return Measured(
        start=rows.start,
        gil=rows.gil_wait_ns,
        sampler=sampler,
        other=np.maximum(rows.in_c_ns - rows.decode_ns - sampler, 0),
        python=rows.python_ns,
        collecting=known.collecting,
        system=None if known.system_calls is None else _outside_calls(exchange, rows, known.system_calls),
        decode=rows.decode_ns,
        cpu=exchange.cpu_time(decodes),
        major=None if faults is None else faults >> 32,
        waiting=None if known.system_calls is None else _inside_decode(exchange, rows, known.system_calls),
        gpu=_gpu(rows, known),
        awaited=rows.awaited_ns,
        voluntary=None if switches is None else switches & 0xFFFFFFFF,
        involuntary=None if switches is None else switches >> 32,
        delay=_delay(exchange, rows, known.scheduling),
        throttled=throttled,
        group=group,
        moved=_moved(exchange, rows),
        workers=workers(exchange, rows, known.scheduling, known.faults),
    )


def _outside_calls(exchange: Exchange, rows: Tokens, system_calls: NDArray[np.void]) -> IntArray:
    """Add up each token's system calls after its decode, on its own thread, but not those that wait for it."""
    done = system_calls[timed(system_calls)]
    done = done[~_in_waits(exchange, done)]
    begin = rows.start + rows.in_call_ns
    spent = sums_by_token(begin, rows.length_ns - rows.in_call_ns, rows.tid, done, durations(done))
    # Some of them lie in other calls or in waits for the GIL: no more than Python's part is Python's.
    return np.minimum(spent, rows.python_ns)


def _inside_decode(exchange: Exchange, rows: Tokens, system_calls: NDArray[np.void]) -> IntArray:
    done = system_calls[timed(system_calls)]
    waiting = done[_in_waits(exchange, done)]
    return _in_call(rows, done) + sums_by_token(
        rows.start, rows.length_ns, rows.tid, waiting, durations(waiting)
    )


def _in_call(rows: Tokens, done: NDArray[np.void]) -> IntArray:
    return sums_by_token(rows.start, rows.in_call_ns, rows.tid, done, durations(done))


def _in_waits(exchange: Exchange, records: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which records lie in a call's wait for a decode, on its thread."""
    result, waits = np.zeros(len(records), dtype=bool), exchange.awaited
    threads = exchange.calls["tid"][waits.around]
    for tid in np.unique(threads).tolist():
        begin, length = waits.start[threads == tid], waits.ns[threads == tid]
        mine = np.flatnonzero(records["tid"] == tid)
        moments = starts(records[mine])
        place = np.searchsorted(begin, moments, "right") - 1
        result[mine] = (place >= 0) & (moments < (begin + length)[np.maximum(place, 0)])
    return result


def _gpu(rows: Tokens, known: Evidence) -> IntArray | None:
    """Return the waiting for a device; what lies in a wait counts once."""
    if known.gpu_calls is None:
        return rows.awaited_ns if rows.awaited_ns.any() else None
    return rows.awaited_ns + _in_call(rows, known.gpu_calls[timed(known.gpu_calls)])


def _delay(exchange: Exchange, rows: Tokens, scheduling: Scheduling | None) -> IntArray | None:
    """Return the run delay of each token's own thread."""
    if scheduling is None:
        return None
    pids = exchange.calls["pid"][rows.index]
    result = np.zeros(len(rows), np.int64)
    for tid in np.unique(rows.tid).tolist():
        mine = np.flatnonzero(rows.tid == tid)
        counter = scheduling.threads.get((int(pids[mine[0]]), tid))
        if counter is None:
            return None
        result[mine] = counter.unusual(rows.start[mine], rows.length_ns[mine], 1)
    return result


def _throttled(rows: Tokens, scheduling: Scheduling | None) -> tuple[IntArray | None, str | None]:
    found = scheduling.throttled(rows.start, rows.length_ns) if scheduling is not None else None
    return (None, None) if found is None else (found[0], found[1].decode("utf-8", "backslashreplace"))


def _moved(exchange: Exchange, rows: Tokens) -> tuple[IntArray, IntArray] | None:
    """Return the CPU on which each token's thread was just before it, and the one just after."""
    cpus = exchange.moves(exchange.calls[rows.index])
    if cpus is None:
        return None
    begun, ended = cpus
    before, after = begun.copy(), ended.copy()
    for tid in np.unique(rows.tid).tolist():
        mine = np.flatnonzero(rows.tid == tid)
        before[mine[1:]], after[mine[:-1]] = ended[mine[:-1]], begun[mine[1:]]
    return before, after


def fault_place(known: Evidence, start: int, length: int) -> str | None:
    """Return what most major faults within a span were on; None where that isn't known."""
    if known.faults is None or known.place is None:
        return None
    moments = starts(known.faults)
    low, high = np.searchsorted(moments, [start, start + length])
    major = known.faults[low:high]
    major = major[major["nr"] == MAJOR]
    found = Count(
        known.place(int(fault["pid"]), int(fault["args"][0]), int(fault["start"])) for fault in major
    )
    found.pop(None, None)
    return found.most_common(1)[0][0] if found else None
