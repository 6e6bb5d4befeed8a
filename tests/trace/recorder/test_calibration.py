"""What a record costs is measured alike on an idle and on a busy machine."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from recording import engines

from llamactl.trace.record.syscalls.base import Options
from llamactl.trace.record.syscalls.choose import _plain_call_ns, calibrate

BUSY_PER_CPU = 3


@contextmanager
def busy_machine() -> Iterator[None]:
    """Have several programs want each CPU."""
    children = []
    try:
        for _ in range(BUSY_PER_CPU * len(os.sched_getaffinity(0))):
            pid = os.fork()
            if not pid:
                while True:
                    pass
            children.append(pid)
        yield
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def costs(engine: str) -> list[float]:
    plain = min(_plain_call_ns() for _ in range(3))
    found = [calibrate(engine, Options(), plain) for _ in range(3)]
    return [cost for cost in found if cost is not None]


@engines("perf", "ptrace")
def test_the_load_of_the_machine_isn_t_the_engine_s_cost(engine: str) -> None:
    before = costs(engine)
    with busy_machine():
        during = costs(engine)
    # One loop of a few milliseconds took up to a hundred times as long, as its CPU was taken away in between.
    assert statistics.median(during) < 4 * statistics.median(before)
