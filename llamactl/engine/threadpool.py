"""The threads that compute, with a place and a priority (``ggml_threadpool``); without, the engine makes its own."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from llamactl.engine.context import Context
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError

PRIORITIES: dict[int, int] = {
    -1: lib.GGML_SCHED_PRIO_LOW,
    0: lib.GGML_SCHED_PRIO_NORMAL,
    1: lib.GGML_SCHED_PRIO_MEDIUM,
    2: lib.GGML_SCHED_PRIO_HIGH,
    3: lib.GGML_SCHED_PRIO_REALTIME,
}
MOST_CPUS = 512


@dataclass(frozen=True, slots=True)
class Place:
    """Where threads run and how they wait, with llama.cpp's defaults (``common_cpu_params``).

    Attributes:
        cpus: CPUs they may use; empty for all that the process may.
        strict: Bind each thread to one of them.
        priority: A key of :data:`PRIORITIES`.
        poll: 0 to 100: how long they spin for work before they sleep.
    """

    cpus: frozenset[int] = frozenset()
    strict: bool = False
    priority: int = 0
    poll: int = 50


def cpus_of_mask(mask: str) -> frozenset[int]:
    """Return the CPUs of a hexadecimal mask, with or without ``0x``.

    Raises:
        UsageError: It isn't hexadecimal, or too long.
    """
    if not re.fullmatch(r"(0[xX])?[0-9a-fA-F]{1,128}", mask):
        raise UsageError(f"--cpu-mask {mask!r} isn't hexadecimal", "Write such as 0x3 for CPUs 0 and 1.")
    bits = int(mask, 16)
    return _allowed(f"--cpu-mask {mask}", {bit for bit in range(bits.bit_length()) if bits >> bit & 1})


def cpus_of_range(text: str) -> frozenset[int]:
    """Return the CPUs of ``LO-HI``; a side that is missing is the first or the last one.

    Raises:
        UsageError: It isn't a range.
    """
    match = re.fullmatch(r"(\d{0,4})-(\d{0,4})", text)
    if not match:
        raise UsageError(f"--cpu-range {text!r} isn't a range", "Write such as 0-3.")
    low = int(match[1] or 0)
    high = int(match[2]) if match[2] else max(os.sched_getaffinity(0))
    return _allowed(f"--cpu-range {text}", set(range(low, min(high, MOST_CPUS) + 1)))


def _allowed(what: str, wanted: set[int]) -> frozenset[int]:
    allowed = os.sched_getaffinity(0)
    if not wanted <= allowed:
        raise UsageError(
            f"{what} has CPUs that this process may not use: {sorted(wanted - allowed)[:8]}",
            f"It may use {sorted(allowed)}.",
        )
    return frozenset(wanted)


def attach(context: Context, single: Place, batch: Place) -> None:
    """Have a context compute with threads of ours: as many as it was made with.

    Raises:
        LlamactlError: They can't be made.
    """
    own, other = context.threads
    first, second = _parameters(own, single), _parameters(other, batch)
    same = lib.ggml_threadpool_params_match(first, second)
    if not same:
        # llama.cpp's programs start the one that isn't needed yet asleep.
        first.paused = True
    pool_of_batch = None if same else _pool(second)
    try:
        pool = _pool(first)
    except LlamactlError:
        lib.llamactl_threadpool_free(pool_of_batch or ffi.NULL)
        raise
    context.attach_threads(pool, pool_of_batch)


def _pool(parameters: Any) -> Any:
    pool = lib.llamactl_threadpool_new(parameters)
    if pool == ffi.NULL:
        raise LlamactlError(
            f"{parameters.n_threads} threads can't be made with this place and priority",
            "Use fewer, or --prio 0.",
        )
    return pool


def _parameters(n_threads: int, place: Place) -> Any:
    made = ffi.new("struct ggml_threadpool_params *")
    made[0] = lib.ggml_threadpool_params_default(n_threads)
    for cpu in place.cpus:
        made.cpumask[cpu] = True
    made.strict_cpu, made.poll = place.strict, place.poll
    made.prio = PRIORITIES[place.priority]
    return made
