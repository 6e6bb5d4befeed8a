"""How long threads haven't run: the scheduler's own time at which each left its CPU.

``/proc/PID/task/TID/sched`` (CONFIG_SCHED_DEBUG) tells ``se.exec_start``: the clock of the thread's run
queue when it last ran, in milliseconds (kernel/sched/debug.c). The clocks of two CPUs differ by what
interrupts and the hypervisor took there, so ours is read on the same CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from llamactl.process import proc_pid
from llamactl.process.proc import ProcessDir

_FIELD = "se.exec_start"


def seconds_asleep(process: ProcessDir, thread: int, cpu: int) -> float | None:
    """Return for how many seconds a thread hasn't run; None where the kernel doesn't tell.

    Args:
        process: Its process.
        thread: Its number.
        cpu: The CPU it ran on last.
    """
    try:
        left = _exec_start(process.text(f"task/{thread}/sched"))
        with _on_cpu(cpu):
            now = _exec_start(proc_pid.read("thread-self", "sched").decode("utf-8", "replace"))
    except OSError:
        return None
    return None if left is None or now is None else max((now - left) / 1000, 0.0)


def _exec_start(text: str) -> float | None:
    for line in text.split("\n"):
        if line.startswith(_FIELD):
            try:
                return float(line.rpartition(":")[2])
            except ValueError:
                return None
    return None


@contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    """Run this thread, and no other of ours, on one CPU; where that is refused, where it is."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:  # not in our cpuset
        yield
        return
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
