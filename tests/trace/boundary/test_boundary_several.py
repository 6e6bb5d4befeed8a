"""Calls of several processes at once: each process's own, in one table of functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from boundary_support import Memory, start

from llamactl.errors import LlamactlError
from llamactl.trace.capture.record import Kind
from llamactl.trace.record.calls import several
from llamactl.trace.record.calls.several import SeveralCalls

CALLS = 300


@pytest.fixture
def uprobes(built: Path) -> None:
    """Skip where uprobes are refused."""
    process = start(built / "boundary_loop", "1", "1")
    try:
        SeveralCalls((process.pid,), watch=False).close()
    except LlamactlError as error:
        pytest.skip(str(error))
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("uprobes")
def test_each_process_has_its_own_calls(built: Path) -> None:
    processes = [start(built / "boundary_loop", str(threads), str(CALLS)) for threads in (1, 2)]
    memory = Memory()
    calls = SeveralCalls([process.pid for process in processes], watch=False)
    try:
        calls.attached()
        for process in processes:
            assert process.stdin and process.stdout
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout
            assert process.stdout.readline().startswith("done")
        calls.ended(memory)  # type: ignore[arg-type]
    finally:
        calls.close()
        for process in processes:
            process.kill()
            process.wait()
    found = memory.calls("llama_n_ctx")
    pids, counts = np.unique(found["pid"], return_counts=True)
    assert dict(zip(pids.tolist(), counts.tolist(), strict=True)) == {
        process.pid: threads * CALLS for process, threads in zip(processes, (1, 2), strict=True)
    }
    about = memory.facts["boundary"]
    assert (about["way"], about["processes"], about["lost"]) == ("uprobes", 2, 0)
    records = memory.all
    assert records["nr"][records["kind"] == Kind.CALL].max() < len(memory.facts["function_table"])


@pytest.mark.usefixtures("uprobes")
def test_those_without_an_engine_or_beyond_the_limit_are_left_out(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "MOST_PROCESSES", 1)
    processes = [start(built / "boundary_loop", "1", "1") for _ in range(2)]
    calls = SeveralCalls([1, *(process.pid for process in processes)], watch=False)
    try:
        assert any("1 processes" in note for note in calls.notes)
    finally:
        calls.close()
        for process in processes:
            process.kill()
            process.wait()


def test_without_any_engine_it_says_so() -> None:
    with pytest.raises(LlamactlError):
        SeveralCalls((1,), watch=False)
