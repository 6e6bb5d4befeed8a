"""A source of a recording is a class: the session starts, drains and closes it, and what fails in it costs a note."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording import recorded

from llamactl.errors import LlamactlError
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.record import sources
from llamactl.trace.record.ending.ended import Limits
from llamactl.trace.record.session import record
from llamactl.trace.record.session_kept import Kept
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.source import Recording, Source
from llamactl.trace.record.syscalls.base import Command

PROGRAM = [sys.executable, "-c", "import os; raise SystemExit(int(os.environ['MADE_UP']))"]
STEPS: list[str] = []


class MadeUp(Source):
    """Stands in the list where another source stood."""

    missing = "What is made up"

    def __init__(self, recording: Recording) -> None:
        STEPS.append("made")

    @property
    def notes(self) -> tuple[str, ...]:
        return ("made up for a test",)

    def command(self, command: Command) -> Command:
        return Command(command.argv, {**os.environ, **(command.env or {}), "MADE_UP": "7"}, command.cwd)

    def begun(self, kept: Kept, begin_ns: int) -> None:
        STEPS.append("begun")
        found = np.zeros(1, RECORD)
        found["kind"], found["start"], found["nr"] = Kind.COUNTER, begin_ns, 1
        kept.write(found)

    def drain(self, kept: Kept, finished: bool) -> None:
        STEPS.append("drained")

    def finish(self, kept: Kept) -> None:
        STEPS.append("finished")

    def facts(self) -> dict[str, Any]:
        return {"phases": ["made up"]}

    def close(self) -> None:
        STEPS.append("closed")


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    STEPS.clear()
    monkeypatch.setattr(sources, "Limits", MadeUp)


def test_it_is_asked_at_each_moment_and_what_it_knows_is_in_the_capture(tmp_path: Path) -> None:
    found = recorded(tmp_path / "c", PROGRAM, "ptrace", sample_s=0)
    assert found.result.exit_code == 7
    assert list(dict.fromkeys(STEPS)) == ["made", "begun", "drained", "finished", "closed"]
    assert "made up for a test" in found.result.notes
    assert found.capture.metadata["phases"] == ["made up"]
    assert len(found.of(Kind.COUNTER)) == 1
    assert found.result.complete


@pytest.mark.parametrize("step", ["__init__", "command", "begun", "drain", "finish", "facts", "close"])
def test_what_fails_in_it_costs_a_note_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fails(*_: Any) -> Any:
        raise LlamactlError("made up")

    monkeypatch.setattr(MadeUp, step, fails)
    monkeypatch.setenv("MADE_UP", "7")
    found = recorded(tmp_path / "c", PROGRAM, "ptrace", sample_s=0)
    assert found.result.exit_code == 7
    assert found.capture.ended
    if step != "close":  # By then the capture is closed.
        assert any(note.startswith("What is made up may be incomplete") for note in found.result.notes)


def test_what_was_asked_for_and_cannot_be_had_ends_it_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise LlamactlError("can't be had")

    monkeypatch.setattr(MadeUp, "prepare", refuses)
    with pytest.raises(LlamactlError, match="can't be had"):
        record(Command(("true",)), SessionOptions(engine="ptrace"), CaptureWriter(tmp_path / "c"))
    assert STEPS[-1] == "closed"


def test_the_stood_in_for_source_is_in_the_list() -> None:
    """Else the tests above prove nothing."""
    assert Limits.missing != MadeUp.missing
