"""Which CPUs the two sides of a comparison share, round by round.

A CPU may be quicker than the next one: by its place in the chip, or by who else uses its core. Two processes that
take turns stay where they ran before, each on another CPU: without this their CPUs would be compared too.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from llamactl.process.cgroup import ROOT
from llamactl.process.cpu_budget import core_of


def shared_cpus(allowed: Collection[int], threads: int, root: Path = ROOT) -> list[list[int]]:
    """Return sets of CPUs to confine both sides to, to be used one after the other.

    Each set has as many cores as there are threads, and one CPU of each core, so that no two threads share one.

    Args:
        allowed: CPUs that may be used (sched_getaffinity(2)).
        threads: Threads that compute.
        root: Where ``/sys`` is found, for tests.

    Returns:
        The sets; none where the threads need all cores: then there is nothing to choose.
    """
    cores: dict[tuple[int, int], int] = {}
    for cpu in sorted(allowed):
        cores.setdefault(core_of(cpu, root), cpu)
    first = [cpu for _, cpu in sorted(cores.items())]
    if threads >= len(first):
        return []
    return [first[begin : begin + threads] for begin in range(0, len(first) - threads + 1, threads)]
