"""A thread that hangs: its call is in the recording of each engine, with since when and who is at the other end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llamactl.errors import LlamactlError
from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.table import numbers
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.mechanisms.threads.standing import standing_rows
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions

PROGRAM = Path(__file__).resolve().parents[1] / "programs/stand_still.py"
FCNTL = numbers(0)["fcntl"]


def recorded(engine: str, pid: int, path: Path) -> Capture:
    try:
        record(pid, SessionOptions(engine=engine, duration_s=1.0, calls=False), CaptureWriter(path))
    except LlamactlError as error:
        pytest.skip(str(error))
    return Capture.open(path)


def calls_row(report: TraceReport) -> tuple[str, tuple[str, ...]]:
    (row,) = [one for one in mechanisms(report) if one.name == "System calls"]
    return row.verdict, row.lines


@pytest.mark.parametrize("engine", ["perf", "ptrace", "python"])
def test_a_call_under_way_at_both_ends_is_recorded_and_explained(engine: str, tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), "lock_of_process", str(tmp_path / "lock")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        hung = int(program.stdout.readline().split()[1])
        while Path(f"/proc/{hung}/syscall").read_text().split()[2:3] != ["0x7"]:  # F_SETLKW
            pass
        capture = recorded(engine, hung, tmp_path / "capture")
        report = analyse(capture)
    finally:
        program.kill()
        program.communicate()
    mine = [one for chunk in capture.chunks() for one in chunk if one["kind"] == Kind.SYSCALL]
    assert [(one["nr"], one["tid"]) for one in mine] == [(FCNTL, hung)]
    assert mine[0]["flags"] & Flag.NO_EXIT
    (finding,) = [one for one in find(report) if one.kind is FindingKind.STANDING]
    assert finding.figures["seconds"] >= 1.0
    sentence = finding_text(finding)
    assert f"Thread {hung} (main) has stood for " in sentence
    assert f"in fcntl of {tmp_path}/lock: the lock is held by process {program.pid} (" in sentence
    assert f"llamactl inspect {program.pid}" in sentence
    verdict, lines = calls_row(report)
    assert verdict == "STANDS"
    assert "1 thread stood in a call at the end (see the findings)" in lines


def test_a_program_that_works_stands_nowhere(tmp_path: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), "event_loop", "."], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        program.stdout.readline()
        report = analyse(recorded("ptrace", program.pid, tmp_path / "capture"))
    finally:
        program.kill()
        program.communicate()
    assert report.standing == []
    assert report.metadata["standing"] == []


def test_what_a_capture_says_wrongly_is_left_out() -> None:
    good = {"process": 1, "why": "lock", "threads": [2], "ends": [{"pid": 3}, 4], "seconds": "x"}
    wrong = [5, {}, {**good, "why": "magic"}, {**good, "threads": "no"}, {**good, "process": None}]
    (row,) = standing_rows([good, *wrong])
    assert (row.standing.seconds, [end.pid for end in row.standing.ends]) == (None, [3])
    assert standing_rows("nothing") == []
