"""Threads that wait for a word of memory: for a mutex, for the GIL, for a pool, or all for each other.

A futex says nothing by itself: an idle worker waits for one, too. Told is only what shows that the wait
can't be idleness: a mutex has a holder, a pool has no threads, or nobody is left to wake anybody.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from llamactl.process.engine.libraries import library_role
from llamactl.process.proc import ProcessDir
from llamactl.process.proc_text import status_fields
from llamactl.process.threads.futexes import FutexWait, gil_switches, look_at
from llamactl.process.threads.stacks import code_file
from llamactl.process.threads.thread_roles import POOLS, Thread
from llamactl.process.threads.waiting import Wait, parse_syscall
from llamactl.snapshot.process.address_space import AddressSpace
from llamactl.snapshot.process.standing_facts import Case, End, thread_end

_GIL = "the GIL"
_GIL_HELD_S = 1.0
_STEP_S = 0.05
_LOOKS, _BETWEEN_LOOKS_S = 3, 0.001
# SIGILL, SIGINT, SIGBUS, SIGFPE, SIGSEGV, SIGPIPE, and the two of glibc: handlers that wake nobody on purpose.
_USUAL_HANDLERS = sum(1 << (number - 1) for number in (2, 4, 7, 8, 11, 13, 32, 33))


def futex_cases(process: ProcessDir, threads: Sequence[Thread], space: AddressSpace) -> list[Case]:
    """Return the waits for futexes that aren't normal."""
    numbers = {thread.reading.thread for thread in threads}
    waits: dict[int, FutexWait] = {}
    for thread in threads:
        wait = thread.reading.wait or (
            _wait_again(process, thread.reading.thread) if len(threads) > 1 else None
        )
        if wait is not None:
            in_gil = wait.futex is not None and space.futex_owner(wait.futex) == _GIL
            found = look_at(wait, space.memory, numbers, in_gil=in_gil)
            if found is not None:
                waits[thread.reading.thread] = found
    cases = [
        *_pools(threads, space, waits),
        *_mutexes(process, threads, waits),
        *_gil(process, threads, space, waits),
    ]
    if not cases and len(waits) == len(threads):
        cases += _deadlock(process, threads, waits)
    return cases


def _mutexes(process: ProcessDir, threads: Sequence[Thread], waits: dict[int, FutexWait]) -> Iterator[Case]:
    numbers = {thread.reading.thread for thread in threads}
    for thread in threads:
        reading, found = thread.reading, waits.get(thread.reading.thread)
        if found is None or found.kind not in ("mutex", "stream") or found.owner is None:
            continue
        what = "a mutex" if found.kind == "mutex" else "the lock of a stream (stdio)"
        if found.owner in numbers:
            ends: tuple[End, ...] = (thread_end(process.pid, found.owner),)
            yield Case("mutex", reading.thread, reading.name, "futex", what, ends)
        elif found.private:
            gone = (End(process.pid, "", found.owner),)
            yield Case("mutex-orphan", reading.thread, reading.name, "futex", what, gone)
        else:
            yield Case(
                "mutex", reading.thread, reading.name, "futex", what, (thread_end(found.owner, found.owner),)
            )


def _pools(threads: Sequence[Thread], space: AddressSpace, waits: dict[int, FutexWait]) -> Iterator[Case]:
    """Yield threads that wait inside of an OpenMP runtime that has no other thread here: after a fork."""
    roles = [thread.role for thread in threads]
    for thread in threads:
        reading = thread.reading
        if reading.thread not in waits or not isinstance(reading.wait, Wait):
            continue
        path = code_file(space.maps, reading.wait.program_counter)
        name = path.rpartition("/")[2]
        others = [role for other, role in zip(threads, roles, strict=True) if other is not thread]
        if library_role(name) == "openmp" and not POOLS.intersection(others):
            yield Case("pool", reading.thread, reading.name, "futex", name)


def _gil(
    process: ProcessDir, threads: Sequence[Thread], space: AddressSpace, waits: dict[int, FutexWait]
) -> Iterator[Case]:
    """Yield a wait for the GIL whose holder doesn't let it go: those who wait ask for it every 5 ms."""
    waiting = [thread.reading for thread in threads if _for_gil(waits.get(thread.reading.thread))]
    if not waiting:
        return
    first = waiting[0]
    address, holder = waits[first.thread].address, waits[first.thread].owner
    if holder is None:
        return
    begun, switches = time.monotonic(), gil_switches(space.memory, address)
    while (seconds := time.monotonic() - begun) < _GIL_HELD_S:
        time.sleep(_STEP_S)
        if switches is None or gil_switches(space.memory, address) != switches:
            return
    ends = (thread_end(process.pid, holder),)
    others = tuple(reading.thread for reading in waiting[1:])
    yield Case("gil", first.thread, first.name, "futex", _GIL, ends, others, seconds)


def _wait_again(process: ProcessDir, thread: int) -> Wait | None:
    """Look a few times more: who waits for the GIL wakes every 5 ms and may just have run."""
    for _ in range(_LOOKS):
        time.sleep(_BETWEEN_LOOKS_S)
        try:
            wait = parse_syscall(process.text(f"task/{thread}/syscall"))
        except OSError:
            return None
        if wait is not None:
            return wait
    return None


def _for_gil(found: FutexWait | None) -> bool:
    return found is not None and found.kind == "gil"


def _deadlock(process: ProcessDir, threads: Sequence[Thread], waits: dict[int, FutexWait]) -> Iterator[Case]:
    """Yield a process all of whose threads wait for each other, where only a signal could wake one."""
    if not all(one.forever and (one.private or one.kind == "join") for one in waits.values()):
        return
    try:
        caught = int(status_fields(process.read("status")).get("SigCgt", "0"), 16)
    except (OSError, ValueError):
        return
    if caught & ~_USUAL_HANDLERS:
        return  # Somebody who waits for a signal may wait like this.
    latest = max(threads, key=lambda thread: thread.reading.thread).reading
    others = tuple(thread.reading.thread for thread in threads if thread.reading is not latest)
    yield Case("deadlock", latest.thread, latest.name, "futex", "a word of its own memory", (), others)
