"""What all processes of a recording fetched from storage and mapped in, from their samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.mechanisms.memory.counter_steps import Life, Steps, counter_steps

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.memory.counters import CounterTable


def fetched(
    counters: CounterTable, lives: Mapping[int, Life], metadata: dict[str, Any], begin_ns: int, end_ns: int
) -> Steps:
    """Return what was fetched from storage, of a program that was started with what it had read when it ended.

    Args:
        counters: The samples.
        lives: The processes of the capture.
        metadata: The capture's.
        begin_ns: The capture's first moment.
        end_ns: Its last one.
    """
    series, known = counters.series("read_bytes"), _lives(counters, lives, metadata, begin_ns)
    total = metadata.get("disk_read_bytes")
    first = _first(counters, metadata)
    if isinstance(total, int) and first is not None:
        none = np.zeros(0, np.int64)
        moment, value = series.get(first, (none, none))
        if not len(moment) or moment[-1] < end_ns:
            # It may count more than the samples did, but not less: rusage(2) is in blocks of 512 bytes.
            total = max(total, *value[-1:].tolist(), 0)
            series[first] = np.append(moment, end_ns), np.append(value, total)
    return counter_steps(series, known, inherited=True)


def mapped_in(
    counters: CounterTable, lives: Mapping[int, Life], metadata: dict[str, Any], begin_ns: int
) -> Steps:
    """Return what pages of files came into page tables; arguments as of :func:`fetched`."""
    series = counters.series("file_rss_bytes")
    return counter_steps(series, _lives(counters, lives, metadata, begin_ns), inherited=False)


def _lives(
    counters: CounterTable, lives: Mapping[int, Life], metadata: dict[str, Any], begin_ns: int
) -> dict[int, Life]:
    """Let a program that was started begin with the capture."""
    first = _first(counters, metadata)
    found = dict(lives)
    if first is not None and metadata.get("attached") is False:
        found[first] = replace(found.get(first, Life(None, None, None)), began_ns=begin_ns)
    return found


def _first(counters: CounterTable, metadata: dict[str, Any]) -> int | None:
    """Return the program's own process; of a capture that doesn't say it, the one sampled first."""
    pid = metadata.get("pid")
    return int(pid) if pid else counters.first_process()
