"""The ring in a whole recording: damaged by the program, and left by a llamactl that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llamactl.render.trace.json import report_json
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.report import report_text
from llamactl.render.trace.rows.row import Row
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.syscalls.base import Command

DECODES = 50
LLAMACTL = Path(sys.executable).parent / "llamactl"


@pytest.mark.parametrize("part", ["head", "header", "records", "arena", "sites", "threads", "all"])
def test_a_recording_survives_a_damaged_ring(built: Path, tmp_path: Path, part: str) -> None:
    path = tmp_path / "capture"
    command = Command((str(built / "agent_ring"), "wreck", part, str(DECODES)))
    result = record(command, SessionOptions(engine="ptrace", calls=True), CaptureWriter(path))
    assert (result.exit_code, result.ended, result.error) == (0, "exit", None)
    capture = Capture.open(path)
    report = analyse(capture)
    assert report.length_s < 60, "no figure is larger than the recording"
    assert report_text(report)
    assert report_json(report)
    calls = np.concatenate([chunk[chunk["kind"] == Kind.CALL] for chunk in capture.chunks()])
    damaged = capture.metadata["agent"]["lost"]["damaged"]
    if part in {"head", "header", "records", "all"}:
        assert damaged > 0
        assert any("overwritten memory" in note for note in result.notes)
        assert not result.complete
    if part in {"head", "arena", "threads"}:
        assert len(calls) >= DECODES, "the records before it weren't touched"
    if len(calls) and damaged:
        assert interface_row(report).verdict == "LOST"
        assert any(line.startswith("at least ") for line in interface_row(report).lines)


def interface_row(report: TraceReport) -> Row:
    return next(row for row in mechanisms(report) if row.name == "Interface")


def test_a_loop_of_cheap_calls_costs_no_decode(built: Path, tmp_path: Path) -> None:
    """More at once than the ring holds: each is counted, and what works has its record."""
    path = tmp_path / "capture"
    command = Command((str(built / "agent_ring"), "crowd", "300000", "8"))
    record(command, SessionOptions(engine="ptrace", calls=True), CaptureWriter(path))
    report = analyse(Capture.open(path))
    counts = {row.name: (row.count, row.without_record) for row in report.functions}
    assert counts["llama_decode"] == (8, 0)
    assert counts["llama_n_ctx"][0] == 300_000
    assert counts["llama_n_ctx"][1] > 100_000
    row = interface_row(report)
    assert row.verdict == "ok"
    assert any("300,008 crossings" in line for line in row.lines)
    assert any("counted without a record" in line for line in row.lines)
    assert any("at least" in line for line in row.lines if line.startswith("a token"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_nothing_of_the_ring_is_left(how: signal.Signals, tmp_path: Path) -> None:
    before = set(os.listdir("/dev/shm"))
    command = [
        str(LLAMACTL),
        "trace",
        "-q",
        "-o",
        str(tmp_path / "capture"),
        "--",
        "sh",
        "-c",
        "echo on; exec sleep 60",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as traced:
        assert traced.stdout is not None
        assert traced.stdout.readline() == "on\n"
        traced.send_signal(how)
        traced.wait(30)
        left = {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("llamactl")}
        assert not left
