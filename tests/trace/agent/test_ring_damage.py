"""Whatever a program does to the ring: it runs on, llamactl ends in time, and what can be believed is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llamactl.trace.capture.record import RECORD
from llamactl.trace.record.agent.layout import MAX_SITES
from llamactl.trace.record.agent.ring import Ring

if TYPE_CHECKING:
    from pathlib import Path

    from agent_support import Trace

DECODES = 50
PARTS = (
    "head",
    "head-back",
    "tail",
    "used",
    "hole",
    "header",
    "records",
    "arena",
    "sites",
    "threads",
    "counts",
    "all",
)
IN_TIME_S = 5.0


@pytest.mark.parametrize("part", PARTS)
def test_a_wild_write_costs_only_what_it_hit(built: Path, traced: Trace, part: str) -> None:
    began_ns = time.monotonic_ns()
    result = traced(built / "agent_ring", "wreck", part, str(DECODES), capacity=1024)
    now_ns = time.monotonic_ns()
    assert (result.returncode, result.out, result.err) == (0, "done\n", "")
    assert now_ns - began_ns < IN_TIME_S * 1e9
    calls = result.calls()
    assert (calls["start"] >= began_ns).all()
    assert (calls["start"] + calls["duration"] <= now_ns).all()
    if part in {"head", "head-back", "tail", "used", "counts", "threads", "hole"}:
        assert len(calls) >= DECODES - 1, "the records before it weren't touched"
    if part in {"head", "header", "records", "all"}:
        assert result.losses.damaged > 0


def test_noise_in_the_whole_ring_never_hangs_nor_fails() -> None:
    random = np.random.default_rng(7)
    for _ in range(60):
        with Ring(64) as ring:
            size = len(ring._map)
            for _ in range(int(random.integers(1, 40))):
                at = int(random.integers(0, size - 64))
                ring._map[at : at + 64] = random.bytes(64)
            drained, finished = ring.drain(), ring.finish()
            records = np.concatenate([drained, finished])
            assert records.dtype == RECORD
            ring.intern(records, lambda text: len(text))
            assert len(ring.functions()) <= MAX_SITES
            assert all(one.calls > 0 for one in ring.counted().values())
            assert ring.losses().records < 1 << 53
            ring.processes()
            assert isinstance(ring.python_version, str | None)


def test_a_ring_whose_head_is_wild_goes_on(built: Path) -> None:
    with Ring(64) as ring:
        for head in (1 << 63, 5, (1 << 64) - 1):
            ring._header["head"] = head
            ring.drain()
            assert int(ring._header["tail"][0]) == head
        assert ring.losses().damaged >= 2
