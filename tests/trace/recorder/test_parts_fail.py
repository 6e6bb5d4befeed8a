"""Whatever fails in llamactl while it records: the program runs to its end, and the capture can be shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from recording import Recorded, engines, recorded

from llamactl.errors import LlamactlError
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.report import analyse
from llamactl.trace.record import session_loop
from llamactl.trace.record.agent.source import AgentSource
from llamactl.trace.record.calls import caught
from llamactl.trace.record.clocked import sampler, samples
from llamactl.trace.record.clocked.phases_pipe import PhasePipe
from llamactl.trace.record.clocked.scheduling import SchedulingSampler
from llamactl.trace.record.ending import ended
from llamactl.trace.record.session import record
from llamactl.trace.record.session_agent import AgentPart
from llamactl.trace.record.session_loop import Session
from llamactl.trace.record.session_parts import Parts
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.syscalls.base import Command, Engine, Options
from llamactl.trace.record.syscalls.choose import choose_engine
from llamactl.trace.record.syscalls.ptrace import PtraceEngine

pytest_plugins = ["recording"]

PROGRAM = [sys.executable, "-c", "import time; time.sleep(0.3); raise SystemExit(7)"]


def fails(*_: Any, **__: Any) -> Any:
    raise IndexError("list index\nout of range")


PARTS: list[tuple[Any, str]] = [
    (sampler, "counters"),
    (sampler, "descriptors"),
    (samples, "find_regions"),
    (ended, "files_left"),
    (session_loop, "closing_facts"),
    (Session, "_facts"),
    (session_loop, "notes_on_setuid"),
    (Session, "_keep"),
    (Session, "_notes"),
    (AgentPart, "_open"),
    (AgentPart, "command"),
    (AgentPart, "drain"),
    (AgentPart, "processes"),
    (AgentPart, "finish"),
    (AgentPart, "translate"),
    (AgentSource, "drain"),
    (AgentSource, "metadata"),
    (PhasePipe, "read"),
    (SchedulingSampler, "take"),
    (SchedulingSampler, "_look"),
    (SchedulingSampler, "finish"),
]


def run(tmp_path: Path, **options: Any) -> Recorded:
    return recorded(tmp_path / "c", PROGRAM, "ptrace", calls=True, sample_s=0.02, marks=True, **options)


@pytest.mark.parametrize(("owner", "name"), PARTS, ids=[f"{o.__name__}.{n}" for o, n in PARTS])
def test_a_part_that_always_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    monkeypatch.setattr(session_loop, "setuid_notes", lambda: ("as without rights",))
    monkeypatch.setattr(owner, name, fails)
    found = run(tmp_path)
    assert found.result.exit_code == 7
    assert not found.result.complete
    (note,) = {note for note in found.capture.metadata["notes"] if "IndexError" in note}
    assert "list index out of range" in note
    assert ".py:" in note or "test_parts_fail" in note
    assert found.capture.ended
    assert tuple(found.capture.metadata["notes"]) == found.result.notes
    monkeypatch.undo()
    assert analyse(found.capture).metadata["exit_code"] == 7


def test_the_program_s_view_that_always_fails(tmp_path: Path) -> None:
    options = SessionOptions(engine="ptrace")
    result = record(Command(tuple(PROGRAM)), options, CaptureWriter(tmp_path / "c"), fails)
    assert result.exit_code == 7
    assert any("The live view" in note for note in result.notes)


def test_an_engine_that_fails_from_its_start_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = PtraceEngine.start

    def start(self: PtraceEngine, command: Command) -> None:
        real(self, command)
        if not self._options.loops:
            monkeypatch.setattr(PtraceEngine, "poll", fails)

    monkeypatch.setattr(PtraceEngine, "start", start)
    found = run(tmp_path)
    assert (found.result.exit_code, found.result.ended) == (7, "error")
    assert any(note.startswith("System calls") for note in found.result.notes)


def test_a_loop_that_fails_is_seen_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the loop itself is at fault."""
    monkeypatch.setattr(Session, "_between", fails)
    found = run(tmp_path)
    assert found.result.exit_code == 7
    assert found.result.ended == "error"
    assert any(note.startswith("The recording") for note in found.result.notes)


def test_a_recording_where_nothing_fails_has_no_such_note(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert not [note for note in found.result.notes if "internal error" in note]
    assert found.result.complete


def test_what_failed_is_told_once_with_its_count_and_its_first_error() -> None:
    parts = Parts()
    assert parts.run("Samples", lambda: 1 // 0, 5) == 5
    assert parts.run("Samples", fails, 6) == 6
    assert parts.run("Phases", lambda: 7, 0) == 7
    (note,) = parts.notes
    assert note.startswith("Samples may be incomplete: an internal error, 2 times (ZeroDivisionError: ")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "30"])
    yield process
    process.kill()
    process.wait()


def runs_on(pid: int) -> bool:
    """Whether it is neither stopped nor dead."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "RS"


def calls_first(name: str, monkeypatch: pytest.MonkeyPatch, before: Callable[[], None], owner: Any) -> None:
    """Let ``owner.name`` do something before its own work."""
    real = getattr(owner, name)

    def both(*given: Any, **named: Any) -> Any:
        before()
        return real(*given, **named)

    monkeypatch.setattr(owner, name, both)


def interrupt_me(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_between_the_handler_and_attaching_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes], number: int
) -> None:
    """It was lost for ever, and so were all that came after it."""
    calls_first("catch_if_possible", monkeypatch, interrupt_me(number), caught)
    options = SessionOptions(engine="ptrace", calls=True)
    with pytest.raises(LlamactlError, match=signal.Signals(number).name) as told:
        record(sleeper.pid, options, CaptureWriter(tmp_path / "c"))
    assert told.value.exit_code == 128 + number
    assert runs_on(sleeper.pid)


@engines()
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_while_attaching_ends_it_as_soon_as_it_is_attached(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sleeper: subprocess.Popen[bytes],
    engine: str,
    number: int,
) -> None:
    told = interrupt_me(number)

    def look(*given: Any) -> Any:
        told()
        return sampler.thread_names(*given)

    monkeypatch.setitem(sampler.AT_START, next(iter(sampler.AT_START)), look)
    options = SessionOptions(engine=engine)
    result = record(sleeper.pid, options, CaptureWriter(tmp_path / "c"))
    assert result.ended == "interrupt"
    assert runs_on(sleeper.pid)


@engines()
@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_while_a_program_is_started_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, number: int
) -> None:
    cls = type(choose_engine(engine, Options(frozenset()), attach=False).engine)
    real = cls.start

    def start(self: Engine, command: Command) -> None:
        real(self, command)
        if command.argv[0] == "sleep":
            os.kill(os.getpid(), number)

    monkeypatch.setattr(cls, "start", start)
    monkeypatch.setattr("llamactl.trace.record.session_signals.terminal_sends_it", lambda: False)
    result = record(Command(("sleep", "60")), SessionOptions(engine=engine), CaptureWriter(tmp_path / "c"))
    assert result.exit_code == 128 + number


def test_a_signal_before_a_program_is_started_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls_first("descriptors", monkeypatch, interrupt_me(signal.SIGTERM), sampler)
    mark = tmp_path / "mark"
    with pytest.raises(LlamactlError, match="SIGTERM"):
        record(
            Command(("touch", str(mark))),
            SessionOptions(engine="ptrace"),
            CaptureWriter(tmp_path / "c"),
        )
    assert not mark.exists()


def test_what_was_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    """Background jobs of scripts, and ``nohup``: they became killable."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in NUMBERS}
    try:
        out = tmp_path / "status"
        argv = ["cp", "/proc/self/status", str(out)]
        found = recorded(tmp_path / "c", argv, "ptrace")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert found.result.exit_code == 0
    ignored = int(next(line for line in out.read_text().split("\n") if line.startswith("SigIgn"))[7:], 16)
    assert all(ignored >> (number - 1) & 1 for number in NUMBERS)
