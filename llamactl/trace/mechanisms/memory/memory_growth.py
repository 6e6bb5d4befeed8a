"""Does memory grow from request to request? The resident size at the beginning of each prompt tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.interface.exchange import Exchange, starts
from llamactl.trace.mechanisms.interface.kept_objects import KeptObjects, kept_objects
from llamactl.trace.mechanisms.phases import Phases

LEAST_REQUESTS = 5
LEAST_STEP_BYTES = 256 * 1024
RISING_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class MemoryGrowth:
    """Growth of a process's resident memory over several requests, the first one (which warms up) left out."""

    pid: int
    requests: int
    grown_bytes: int
    per_request_bytes: int
    kept: tuple[KeptObjects, ...] | None = None
    """Objects of llama.cpp that were made meanwhile and not freed; None where that isn't known."""


def memory_growth(
    series: Mapping[int, tuple[IntArray, IntArray]], phases: Phases, exchange: Exchange | None
) -> MemoryGrowth | None:
    """Return the growth of the process that grew most; ``None`` if memory rose in none, or with too few requests.

    Args:
        series: Moments (ns, rising) and resident bytes of each process.
        phases: Where prompts begin.
        exchange: The calls, which tell whose prompts these are; without them they are those of every process.
    """
    if "prefill" not in phases.names:
        return None
    begins = phases.start[phases.number == phases.names.index("prefill")]
    whose = _processes(begins, phases, exchange)
    found = [
        growth
        for pid, pair in series.items()
        if (growth := _growth(pid, *pair, begins if whose is None else begins[whose == pid])) is not None
    ]
    most = max(found, key=lambda growth: growth.facts.grown_bytes, default=None)
    if most is None or exchange is None or not len(exchange.calls):
        return None if most is None else most.facts
    span = int(most.begins[0]), int(most.begins[-1])
    kept = kept_objects(exchange, most.facts.pid, *span)
    return replace(most.facts, kept=None if kept is None else tuple(kept))


class _Growth(NamedTuple):
    facts: MemoryGrowth
    begins: IntArray
    """When the requests began, the first one left out."""


def _processes(begins: IntArray, phases: Phases, exchange: Exchange | None) -> IntArray | None:
    """Return which process each prompt is of; None where no calls tell."""
    if phases.source != "calls" or exchange is None or not len(exchange.calls):
        return None
    moments = starts(exchange.calls)
    call = np.minimum(np.searchsorted(moments, begins), len(moments) - 1)
    return np.where(moments[call] == begins, exchange.calls["pid"][call].astype(np.int64), -1)


def _growth(pid: int, moments: IntArray, resident: IntArray, begins: IntArray) -> _Growth | None:
    index = np.searchsorted(moments, begins, side="right") - 1
    sizes = resident[index[index >= 0]][1:]
    if len(sizes) < LEAST_REQUESTS:
        return None
    steps = np.diff(sizes)
    if (steps >= LEAST_STEP_BYTES).mean() < RISING_SHARE:
        return None
    grown = int(sizes[-1] - sizes[0])
    return _Growth(MemoryGrowth(pid, len(sizes), grown, grown // len(steps)), begins[index >= 0][1:])
