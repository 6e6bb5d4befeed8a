"""What uprobes cost is measured, said, and taken out of what is shown."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from boundary_support import attach, start

from llamactl.render.trace.exchange import interface
from llamactl.trace.mechanisms.cost import own_cost
from llamactl.trace.mechanisms.interface.uncaught import Why
from llamactl.trace.record.calls.uprobe_cost import (
    EMULATED,
    KINDS,
    MARKED,
    STEPPED,
    calibrate_uprobes,
    kinds_of,
)

uprobes = pytest.mark.skipif(os.geteuid() != 0, reason="uprobes take root")
CALLS = 4000


@uprobes
def test_each_kind_has_a_cost() -> None:
    costs = calibrate_uprobes()
    assert costs is not None
    assert len(costs) == len(KINDS)
    for cost in costs:
        assert 0 < cost.inside_ns <= cost.per_call_ns < 1_000_000


@uprobes
def test_the_cost_is_the_programs_and_not_in_its_calls(built: Path) -> None:
    """The program's own clock is the truth: a call takes a nanosecond without us."""
    traced = attach("uprobes", start(built / "boundary_loop", "1", str(CALLS)))
    begin = time.perf_counter_ns()
    traced.say("go")
    traced.line()
    spent = (time.perf_counter_ns() - begin) / CALLS
    traced.detach()
    facts = traced.writer.facts["boundary"]
    assert 0.3 * facts["per_call_ns"] < spent
    durations = traced.writer.calls("llama_n_ctx")["duration"]
    assert np.median(durations) < facts["inside_ns"] / 2, "what the uprobes took is no longer in it"
    traced.end()


def test_the_first_instruction_tells_the_kind(tmp_path: Path) -> None:
    file = tmp_path / "code"
    parts = [
        b"\x55\x48\x89\xe5",
        b"\x41\x57\x41\x56",
        b"\x90\x90\x90\x90",
        b"\xf3\x0f\x1e\xfa",
        b"\x48\x8b\x07\xc3",
    ]
    file.write_bytes(b"".join(parts))
    found = kinds_of([(str(file), 4 * index) for index in range(len(parts))] + [(str(tmp_path / "none"), 0)])
    if os.uname().machine == "x86_64":
        assert found.tolist() == [EMULATED, EMULATED, EMULATED, MARKED, STEPPED, STEPPED]


def cost(boundary: dict[str, Any] | None, engine: str = "perf", agent: int = 1000) -> Any:
    metadata = {"engine": engine, "cost": {"per_record_ns": 500.0, "per_stop_ns": 30.0}, "boundary": boundary}
    return own_cost(metadata, True, 0, 3000, 2.0, agent)


def test_own_cost_takes_what_was_used() -> None:
    agent = cost(None)
    assert (agent.agent_record_ns, agent.calibrated) == (70.0, False)
    assert agent.estimated_s == pytest.approx((2000 * 500 + 1000 * 70) / 1e9)
    caught = cost({"way": "uprobes", "per_call_ns": 4000.0})
    assert (caught.agent_record_ns, caught.calibrated) == (4000.0, True)
    assert caught.estimated_s == pytest.approx((2000 * 500 + 1000 * 4000) / 1e9)
    assert caught.share == pytest.approx(caught.estimated_s / 2.0)
    unknown = cost({"way": "uprobes", "per_call_ns": None})
    assert (unknown.agent_record_ns, unknown.estimated_s) == (None, None), "unknown isn't 70 ns"
    stops = cost({"way": "breakpoints"}, engine="ptrace")
    assert (stops.agent_record_ns, stops.calibrated) == (500.0, True)
    assert cost({"way": "breakpoints"}).estimated_s is None


def test_calls_that_arent_caught_may_have_been_made() -> None:
    def lines(records: int, boundary: dict[str, Any], *uncaught: Any) -> str:
        report: Any = SimpleNamespace(
            exchange=None,
            uncaught=uncaught,
            metadata={"attached": True, "boundary": boundary},
            cost=SimpleNamespace(agent_records=records),
        )
        return " ".join(interface(report))

    def loaded(why: Why) -> Any:
        return SimpleNamespace(
            why=why, path="/a/libllama.so", detail="", process="p", pid=1, holds="llama.cpp"
        )

    text = lines(400, {"armed": 80}, loaded(Why.NOT_CALLED))
    assert "libllama.so is loaded; none of the 80 functions that are caught was called" in text
    assert "no call of its functions was seen" not in text
    text = lines(400, {"armed": 80})
    assert "no call into llama.cpp was seen" not in text
    assert "none of the 80 functions that are caught was called" in text
    assert "let go 200 times" in text
    assert "let go" not in lines(0, {"armed": 80})
