"""A session that attaches, with calls caught from outside, from the recording to the capture."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boundary_support import assert_untouched, start

from llamactl.errors import LlamactlError
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.record.calls import attached
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import Progress, SessionOptions


@pytest.mark.parametrize("engine", ["ptrace", "perf"])
def test_calls_and_system_calls_in_one_capture(
    built: Path, tmp_path: Path, way: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "breakpoints":
        monkeypatch.setattr(attached, "UprobeSource", _refused)
    process = start(built / "boundary_loop", "2", "300")
    started = threading.Event()
    lines: list[str] = []

    def use_the_program() -> None:
        assert process.stdin is not None and process.stdout is not None
        started.wait(30)
        process.stdin.write("go\n")
        process.stdin.flush()
        lines.append(process.stdout.readline())
        assert_traced(process.pid)
        process.stdin.close()

    def progress(now: Progress) -> None:
        started.set()

    user = threading.Thread(target=use_the_program)
    user.start()
    options = SessionOptions(engine=engine, calls=True, breakpoints=True, sample_s=0)
    result = record(process.pid, options, CaptureWriter(tmp_path / "trace.cap"), progress)
    user.join()
    assert lines == [f"done {2 * 300 * 301 // 2} 43\n"]
    assert result.ended == "exit"
    capture = Capture.open(tmp_path / "trace.cap")
    names = capture.metadata["functions"]
    records = np.concatenate(list(capture.chunks()))
    calls = records[records["kind"] == Kind.CALL]
    assert sum(names[nr] == "llama_n_ctx" for nr in calls["nr"].tolist()) == 600
    assert (records["kind"] == Kind.SYSCALL).any()
    assert capture.metadata["boundary"]["way"] == way
    assert any("SIGKILL" in note for note in result.notes) == (way == "breakpoints")


def assert_traced(pid: int) -> None:
    """The program answered while it was traced."""
    assert Path(f"/proc/{pid}").exists()


def _refused(pid: int, watch: bool = False) -> None:
    raise LlamactlError("uprobes are refused")


def test_breakpoints_are_only_used_on_request(
    built: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attached, "UprobeSource", _refused)
    process = start(built / "boundary_loop", "1", "1")
    options = SessionOptions(engine="ptrace", calls=True, duration_s=0.05)
    result = record(process.pid, options, CaptureWriter(tmp_path / "trace.cap"))
    assert any("--breakpoints" in note for note in result.notes)
    with pytest.raises(LlamactlError, match="--breakpoints"):
        record(process.pid, replace(options, watch=True), CaptureWriter(tmp_path / "watched.cap"))
    assert_untouched(process.pid)
    assert process.communicate("go\n")[0] == "done 1 43\n"
    assert process.returncode == 7
