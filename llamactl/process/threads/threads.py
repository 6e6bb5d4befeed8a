"""The threads of a process: two readings a short time apart, so that use of the CPU has a rate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from llamactl.process.proc import ProcessDir
from llamactl.process.proc_text import stat_fields, status_fields
from llamactl.process.threads.waiting import Wait, parse_syscall

SAMPLE_SECONDS = 0.05
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_NS_PER_TICK = 1_000_000_000 // _TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Reading:
    """One thread as the kernel tells it (proc_pid_stat(5), proc_pid_status(5), schedstat).

    Times are of the thread's whole life; ``busy`` is the part of the sample in which it ran, from 0
    to 1. ``never_slept`` and ``never_ran`` are about the whole sample and exact, however busy the
    machine is: they come from the state at both ends and the switches between. What may not be read is
    None.
    """

    thread: int
    name: str
    state: str
    user_ns: int
    system_ns: int
    run_delay_ns: int | None
    busy: float | None
    never_slept: bool | None
    never_ran: bool | None
    voluntary_switches: int | None
    involuntary_switches: int | None
    affinity: str
    last_cpu: int
    minor_faults: int
    major_faults: int
    kernel_place: str
    wait: Wait | None


class ThreadSample:
    """A first reading of all threads, to be followed by a second one.

    Raises:
        OSError: The list of threads can't be read.
    """

    def __init__(self, process: ProcessDir) -> None:
        self._process = process
        self.numbers = sorted(map(int, process.list("task")))
        self._before = {number: _Before.read(process, number) for number in self.numbers}
        self._begun = time.monotonic()

    def finish(self, seconds: float = SAMPLE_SECONDS) -> list[Reading]:
        """Return the threads by number, read again at least ``seconds`` after the first reading.

        The process runs on in between; a thread that ends meanwhile is left out.
        """
        time.sleep(max(seconds - (time.monotonic() - self._begun), 0.0))
        process = self._process
        found = [r for number in self.numbers if (r := _read_one(process, number, self._before[number]))]
        asleep = [reading for reading in found if reading.wait is None and reading.state == "S"]
        if asleep and _refused(process, asleep[0].thread):
            error = PermissionError(13, "Permission denied")
            process.refuse("threads", error, "what threads wait on (/proc/PID/task/TID/syscall)")
        return found


def _refused(process: ProcessDir, thread: int) -> bool:
    try:
        process.read(f"task/{thread}/syscall")
    except PermissionError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True, slots=True)
class _Schedule:
    """When the reading was taken, and run time and waiting time in the run queue so far."""

    at_ns: int
    run_ns: int
    delay_ns: int


def _schedule(process: ProcessDir, thread: int) -> _Schedule | None:
    """Read ``schedstat``: finer than the ticks of ``stat``. None where the kernel doesn't keep it."""
    text = _quietly(lambda: process.text(f"task/{thread}/schedstat"))
    if not text:
        return None
    run, delay, _ = text.split()
    return _Schedule(time.monotonic_ns(), int(run), int(delay))


def _quietly(read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError:  # the thread has ended, or the file is refused or not there
        return ""


def _bytes_quietly(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError:
        return b""


@dataclass(frozen=True, slots=True)
class _Before:
    """The first reading: times, state and switches."""

    schedule: _Schedule | None
    state: str
    switches: tuple[int | None, int | None]

    @classmethod
    def read(cls, process: ProcessDir, thread: int) -> _Before:
        status = status_fields(_bytes_quietly(lambda: process.read(f"task/{thread}/status")))
        return cls(_schedule(process, thread), status.get("State", "")[:1], _switches(status))


def _switches(status: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return voluntary and involuntary switches. Only a thread that goes to sleep switches voluntarily."""
    return _number(status.get("voluntary_ctxt_switches")), _number(status.get("nonvoluntary_ctxt_switches"))


def switches_now(process: ProcessDir, thread: int) -> int | None:
    """Return how often a thread has gone to sleep so far; None where that can't be read."""
    return _switches(status_fields(_bytes_quietly(lambda: process.read(f"task/{thread}/status"))))[0]


def _whole_sample(
    before: _Before, state: str, switches: tuple[int | None, int | None]
) -> tuple[bool | None, bool | None]:
    """Tell whether a thread wanted a CPU all the time, and whether it slept all the time."""
    if None in (*before.switches, *switches) or not before.state:
        return None, None
    states = {before.state, state}
    never_slept = states == {"R"} and before.switches[0] == switches[0]
    return never_slept, "R" not in states and before.switches == switches


def _read_one(process: ProcessDir, thread: int, before: _Before) -> Reading | None:
    place = f"task/{thread}/"
    after = _schedule(process, thread)
    data = _bytes_quietly(lambda: process.read(place + "stat"))
    if not data:
        return None
    name, stat = stat_fields(data)
    status = status_fields(_bytes_quietly(lambda: process.read(place + "status")))
    switches = _switches(status)
    kernel_place = _quietly(lambda: process.text(place + "wchan"))
    return Reading(
        thread, name, stat[0], int(stat[11]) * _NS_PER_TICK, int(stat[12]) * _NS_PER_TICK,
        after.delay_ns if after else None, _busy(before.schedule, after),
        *_whole_sample(before, stat[0], switches), *switches,
        status.get("Cpus_allowed_list", ""), int(stat[36]), int(stat[7]), int(stat[9]),
        "" if kernel_place == "0" else kernel_place,
        parse_syscall(_quietly(lambda: process.text(place + "syscall"))),
    )  # fmt: skip


def _busy(before: _Schedule | None, after: _Schedule | None) -> float | None:
    """Return the part of the time between two readings in which a thread ran."""
    if before is None or after is None or after.at_ns <= before.at_ns:
        return None
    return min(1.0, (after.run_ns - before.run_ns) / (after.at_ns - before.at_ns))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
