"""Calls of running programs, by breakpoints and by uprobes, against programs that know the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from boundary_support import assert_untouched, attach, start

from llamactl.trace.capture.record import Flag

THREADS, CALLS = 4, 5000
SUM = THREADS * CALLS * (CALLS + 1) // 2


def test_counts_are_exact_with_four_threads(built: Path, way: str) -> None:
    traced = attach(way, start(built / "boundary_loop", str(THREADS), str(CALLS)))
    traced.say("go")
    assert traced.line() == f"done {SUM} 43\n"
    traced.detach()
    assert traced.writer.counts(ended=True) == {"llama_n_ctx": THREADS * CALLS, "llama_calls_itself": 1}
    assert not traced.writer.counts(ended=False)
    calls = traced.writer.calls("llama_n_ctx")
    assert len(np.unique(calls["tid"])) == THREADS
    assert sorted(calls["ret"].tolist()) == sorted(list(range(1, CALLS + 1)) * THREADS)
    assert (calls["duration"] > 0).all()
    assert_untouched(traced.process.pid)
    traced.say("go")
    assert traced.end() == (f"done {2 * SUM} 43\n", 7)


def test_function_says_who_called(built: Path, way: str) -> None:
    traced = attach(way, start(built / "boundary_loop", "1", "3"))
    traced.say("go")
    traced.line()
    traced.detach()
    row = next(function for function in traced.writer.functions if function.name == "llama_n_ctx")
    assert (row.caller, row.library, row.via, row.returns) == (
        str(built / "boundary_loop"), str(built / "libllama.so"), "plt", "u",
    )  # fmt: skip
    assert traced.end()[1] == 7


def test_detach_in_the_middle(built: Path, way: str) -> None:
    traced = attach(way, start(built / "boundary_loop", "8", "20000"))
    traced.say("go")
    while traced.writer.counts_of("llama_n_ctx") < 500:
        traced.drain()
    traced.detach()
    assert_untouched(traced.process.pid)
    assert traced.end() == (f"done {8 * 20000 * 20001 // 2} 43\n", 7)
    ended, unended = traced.writer.counts(True), traced.writer.counts(False)
    assert ended["llama_n_ctx"] >= 500
    assert unended["llama_n_ctx"] <= 8


def test_awkward_calls(built: Path, way: str) -> None:
    traced = attach(way, start(built / "agent_calls", wait=built / "wait.so"))
    traced.say()
    out, status = traced.end()
    traced.detach()
    assert (out.split()[0], status) == ("right", 0)
    counts = traced.writer.counts()
    # Inside of a callback the program jumps to the function instead of calling it, so it would return into
    # the library: from outside that looks like the library's own call.
    assert counts["llama_call_back"] == 1 + 1 + 100
    assert counts["llama_jump_out"] == 100
    assert traced.writer.counts(ended=False) == {"llama_jump_out": 100, "llama_call_back": 100}
    assert counts["llama_nothing"] == int(out.split()[1]) + int(out.split()[2])
    decode = traced.writer.calls("llama_decode")[0]
    row = traced.writer.functions[int(decode["nr"])]
    labels = [label.partition(":")[0] for label in row.args]
    assert int(decode["ret"]) == 16
    assert int(decode["args"][labels.index("n_tokens")]) == 3
    assert int(decode["args"][labels.index("context")]) == 10
    loaded = traced.writer.calls("llama_model_load_from_file")[0]
    labels = [item.partition(":")[0] for item in traced.writer.functions[int(loaded["nr"])].args]
    assert loaded["args"][[labels.index("n_gpu_layers"), labels.index("load_mode")]].astype(
        np.int64
    ).tolist() == [-1, 2]
    if way == "breakpoints":
        assert traced.writer.text(int(loaded["text"])) == b"/model"


@pytest.mark.parametrize("what", ["fork", "vfork", "exec", "threads", "short"])
def test_processes_and_threads(built: Path, way: str, what: str) -> None:
    traced = attach(way, start(built / "agent_processes", what, "50", wait=built / "wait.so"))
    traced.say()
    out, status = traced.end()
    traced.detach()
    assert (out, status) == ("", 0)
    pid = traced.process.pid
    calls = traced.writer.calls("llama_n_ctx")
    own = calls[calls["pid"] == pid]
    expected = {"fork": 51, "vfork": 50, "exec": 100, "threads": 250, "short": 601 * 50}
    if way == "uprobes" and what == "exec":
        expected["exec"] = len(own)  # Events are inherited, so the new program may be seen as well.
    assert len(own) == expected[what]


@pytest.mark.parametrize(("what", "status"), [("kill", -9), ("exit", 33)])
def test_the_end_inside_of_a_call(built: Path, way: str, what: str, status: int) -> None:
    traced = attach(way, start(built / "agent_processes", what, "5", wait=built / "wait.so"))
    traced.say()
    assert traced.end() == ("", status)
    traced.detach()
    call = traced.writer.calls("llama_call_back")
    assert len(call) == 1
    assert call["flags"][0] & Flag.NO_EXIT


def test_exceptions_pass_through_breakpoints(built: Path) -> None:
    traced = attach("breakpoints", start(built / "agent_throws", wait=built / "wait.so"))
    traced.say()
    assert traced.end() == ("right 400\n", 0)
    traced.detach()
    counts = traced.writer.counts()
    assert (counts["llama_may_throw"], counts["llama_catches_itself"]) == (200, 100)
