"""How long a recording is, and what is open at its end: against a program that marks the time itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from recording import NUMBERS, PROGRAMS, engines, read, recorded

from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.report import analyse
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import Progress, SessionOptions

DURATION_S = 0.7


@engines()
def test_a_duration_begins_when_recording_does(tmp_path: Path, engine: str) -> None:
    marks = tmp_path / "marks"
    with subprocess.Popen(
        [sys.executable, "-S", str(PROGRAMS / "marks.py"), str(marks)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == b"ready\n"
        told: list[int] = []

        def tell(progress: Progress) -> None:
            """Once it records: the program's read returns, and the next one is open to the end."""
            if not told:
                told.append(progress.pid)
                assert process.stdin
                process.stdin.write(b"x")
                process.stdin.flush()

        try:
            options = SessionOptions(engine=engine, duration_s=DURATION_S, calls=True)
            result = record(process.pid, options, CaptureWriter(tmp_path / "c"), tell)
        finally:
            process.stdin.close()
    seen = read(tmp_path / "c", result)
    span = seen.capture.metadata["recorded"]
    assert (span["end_ns"] - span["begin_ns"]) / 1e9 >= DURATION_S
    moments = [int(line) for line in marks.read_text().splitlines()]
    truth = [moment for moment in moments if span["begin_ns"] <= moment <= span["end_ns"]]
    writes = seen.calls("write")
    mine = writes[(writes["start"] >= span["begin_ns"]) & (writes["start"] <= span["end_ns"])]
    assert abs(len(mine) - len(truth)) <= 2  # One at each end lies between its mark and its call.
    last = seen.calls("read")[-1]
    assert last["flags"] & Flag.NO_EXIT
    assert int(last["start"]) + int(last["duration"]) == seen.capture.end_ns
    assert int(last["duration"]) > 0.5 * DURATION_S * 1e9
    assert (
        int(seen.of(Kind.COUNTER)["start"].max()) >= seen.capture.end_ns
    )  # The last sample covers all of it.
    report = analyse(seen.capture)
    row = next(row for row in report.calls if row.name == "read")
    assert row.unfinished == 1
    assert (row.max_ns or 0) <= report.length_s * 1e9


@engines()
def test_a_call_under_way_at_the_end_of_a_started_program_s_recording(tmp_path: Path, engine: str) -> None:
    code = "import select; select.select([], [], [], 2.0)"
    seen = recorded(tmp_path / "c", [sys.executable, "-S", "-c", code], engine, duration_s=DURATION_S)
    assert (seen.result.ended, seen.result.exit_code) == ("duration", 0)
    calls = seen.records[seen.records["nr"] == NUMBERS["pselect6"]]
    calls = calls if len(calls) else seen.records[seen.records["nr"] == NUMBERS["select"]]
    if not len(calls):
        pytest.skip("the program hadn't come so far on this machine")
    assert calls[-1]["flags"] & Flag.NO_EXIT
    assert int(calls[-1]["start"]) + int(calls[-1]["duration"]) <= seen.capture.end_ns
