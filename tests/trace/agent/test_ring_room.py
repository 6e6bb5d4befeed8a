"""Cheap calls give way: they are counted exactly, and calls that do work are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from agent_support import Trace

CAPACITY = 1024


def test_cheap_calls_leave_room_for_decodes(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_ring", "crowd", "20000", "300", capacity=CAPACITY)
    counts = result.counts()
    assert counts["llama_decode"] == 300
    assert CAPACITY // 2 <= counts["llama_n_ctx"] <= CAPACITY - 300, "a call that was preempted isn't cheap"
    (number,) = (n for n, function in enumerate(result.functions) if function.name == "llama_n_ctx")
    assert result.counted[number].calls == 20000 - counts["llama_n_ctx"], "exact, without a record each"
    assert 0 < result.counted[number].ns < 20000 * 1_000_000
    assert result.losses.records == 0


def test_decodes_that_find_no_room_are_lost_and_said_so(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_ring", "crowd", "20000", "1000", capacity=CAPACITY)
    decodes = result.counts()["llama_decode"]
    assert len(result.records) == CAPACITY
    assert decodes >= CAPACITY // 4
    assert result.losses.ring_full >= 1000 - decodes
