"""A program with the agent behaves as it does without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llamactl.trace.capture.record import Flag
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import SIZE_LIMIT, Ring

if TYPE_CHECKING:
    from agent_support import Trace


def test_every_awkward_signature_comes_through(built: Path, traced: Trace) -> None:
    plain = subprocess.run([built / "agent_calls"], capture_output=True, text=True, check=False)
    assert plain.stdout.startswith("right"), plain.stdout
    result = traced(built / "agent_calls", capacity=1 << 17)
    assert (result.returncode, result.out.split()[0], result.err) == (0, "right", "")
    counts = result.counts()
    assert counts["llama_jump_out"] == 100
    assert (result.calls("llama_jump_out")["flags"] & Flag.NO_EXIT).all()
    assert counts["llama_n_ctx"] == 1, "the library's call to itself isn't the binding's"
    assert result.losses.depth == 25, "16 of the 41 nested calls fit"


def test_exceptions_pass_through_recorded_calls(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_throws")
    assert (result.returncode, result.out, result.err) == (0, "right 400\n", "")
    thrown = result.calls("llama_may_throw")
    assert len(thrown) == 200
    assert int((thrown["flags"] & Flag.NO_EXIT > 0).sum()) == 100
    assert not (result.calls("llama_catches_itself")["flags"] & Flag.NO_EXIT).any()


def test_four_threads_are_exact(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_processes", "threads", "4000")
    calls = result.calls("llama_n_ctx")
    assert result.returncode == 0
    assert len(calls) == 20000
    assert sorted((calls["tid"] == tid).sum() for tid in set(calls["tid"].tolist())) == [4000] * 5
    assert sorted(calls["ret"].tolist()) == sorted([*range(1, 4001)] * 5)
    assert result.losses.records == 0


def test_more_threads_than_slots_one_after_the_other(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_processes", "short", "10")
    assert result.counts()["llama_n_ctx"] == 6010
    assert result.losses.records == 0


def test_fork_inside_a_call(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_processes", "fork", "100")
    assert (result.returncode, result.losses.records) == (0, 0)
    calls = result.calls("llama_n_ctx")
    by_process = sorted((calls["pid"] == pid).sum() for pid in set(calls["pid"].tolist()))
    assert by_process == [101, 401], "100 + 1 in the parent; 100 + 3 threads of 100 + 1 in the child"
    around = result.calls("llama_call_back")
    assert len(around) == 1, "the parent's call is reported once, by the parent"
    assert around["pid"][0] == around["tid"][0]


@pytest.mark.parametrize("way", ["vfork", "exec"])
def test_exec_goes_on_in_the_same_ring(built: Path, traced: Trace, way: str) -> None:
    result = traced(built / "agent_processes", way, "50")
    calls = result.calls("llama_n_ctx")
    assert (result.returncode, len(calls), result.losses.records) == (0, 100, 0)
    assert len(set(calls["nr"].tolist())) == 1, "one function, whichever process calls it"


@pytest.mark.parametrize(("way", "status"), [("kill", -9), ("exit", 33)])
def test_a_call_that_never_returns_is_there(built: Path, traced: Trace, way: str, status: int) -> None:
    result = traced(built / "agent_processes", way, "3")
    assert result.returncode == status
    (call,) = result.calls("llama_call_back")
    assert call["flags"] & Flag.NO_EXIT
    assert call["start"] > 0
    assert result.counts()["llama_n_ctx"] == 3


def test_a_full_ring_counts_cheap_calls(built: Path, traced: Trace) -> None:
    result = traced(built / "agent_loop", "5000", capacity=1024)
    assert 1024 // 2 <= len(result.records) < 1024, "cheap calls leave room for others"
    assert [counted.calls for counted in result.counted.values()] == [5001 - len(result.records)]
    assert result.losses.records == 0


def test_memory_stays_within_16_mib(built: Path, traced: Trace) -> None:
    command = (built / "agent_loop", "200000")
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]
    added = int(traced(*command).out.split()[1]) - int(plain)
    assert 1024 < added <= SIZE_LIMIT // 1024


@pytest.mark.parametrize(
    "ring", ["/etc/passwd", "1:2:3:4", "0:0:0:0", "1:2:3:4:5", "fffffffff:1:1:1", "z", ""]
)
def test_without_a_ring_it_stays_out(built: Path, ring: str) -> None:
    environment = agent_environment(os.environ, find_agent(), ring)
    done = subprocess.run(
        [built / "agent_loop", "10"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_ring_has_no_name_and_keeps_its_size() -> None:
    with Ring(1024) as ring:
        status = os.fstat(ring.fd)
        assert (status.st_nlink, status.st_mode & 0o777) == (0, 0o600)
        for size in (0, status.st_size * 2):
            with pytest.raises(PermissionError):
                os.ftruncate(ring.fd, size)


def test_a_program_without_llama_cpp_is_untouched(traced: Trace) -> None:
    result = traced("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.returncode, result.out, result.err, len(result.records)) == (7, "out\n", "err\n", 0)
