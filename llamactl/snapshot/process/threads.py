"""The threads of a process: two readings a short time apart, so that use of the CPU has a rate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from llamactl.snapshot.process.proc import ProcessDir, stat_fields, status_fields
from llamactl.snapshot.process.waiting import Wait, parse_syscall

SAMPLE_SECONDS = 0.05
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_NS_PER_TICK = 1_000_000_000 // _TICKS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Reading:
    """One thread as the kernel tells it (proc_pid_stat(5), proc_pid_status(5), schedstat).

    Times are of the thread's whole life; ``busy`` is the part of the sample in which it ran, from 0
    to 1, ``runnable`` the part in which it ran or waited for a CPU. What may not be read is None.
    """

    thread: int
    name: str
    state: str
    user_ns: int
    system_ns: int
    run_delay_ns: int | None
    busy: float | None
    runnable: float | None
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
        self._before = {number: _schedule(process, number) for number in self.numbers}
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


def _read_one(process: ProcessDir, thread: int, before: _Schedule | None) -> Reading | None:
    place = f"task/{thread}/"
    after = _schedule(process, thread)
    text = _quietly(lambda: process.text(place + "stat"))
    if not text:
        return None
    name, stat = stat_fields(text)
    status = status_fields(_quietly(lambda: process.text(place + "status")))
    kernel_place = _quietly(lambda: process.text(place + "wchan"))
    return Reading(
        thread, name, stat[0], int(stat[11]) * _NS_PER_TICK, int(stat[12]) * _NS_PER_TICK,
        after.delay_ns if after else None, *_rates(before, after),
        _number(status.get("voluntary_ctxt_switches")), _number(status.get("nonvoluntary_ctxt_switches")),
        status.get("Cpus_allowed_list", ""), int(stat[36]), int(stat[7]), int(stat[9]),
        "" if kernel_place == "0" else kernel_place,
        parse_syscall(_quietly(lambda: process.text(place + "syscall"))),
    )  # fmt: skip


def _rates(before: _Schedule | None, after: _Schedule | None) -> tuple[float | None, float | None]:
    """Return the parts of the time between two readings in which a thread ran, and in which it could have."""
    if before is None or after is None or after.at_ns <= before.at_ns:
        return None, None
    elapsed, ran = after.at_ns - before.at_ns, after.run_ns - before.run_ns
    return min(1.0, ran / elapsed), min(1.0, (ran + after.delay_ns - before.delay_ns) / elapsed)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None
