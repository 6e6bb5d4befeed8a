"""What a program does to itself while it is recorded goes as without us: bad pointers, traps, stops."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from recording import Program, engines, read, recorded

from llamactl.trace.capture.record import Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import Progress, SessionOptions
from llamactl.trace.record.syscalls.base import Command

pytest_plugins = ["recording"]


@engines()
def test_pointers_to_nothing_are_the_program_s_own_business(
    tmp_path: Path, program: Program, engine: str
) -> None:
    """The engine python's thread died, killed the program and reported "complete", status 0."""
    argv = [program("bad_pointers")]
    alone = subprocess.run(argv, capture_output=True, check=False)
    assert alone.returncode == 7
    seen = recorded(tmp_path / "c", ["sh", "-c", f"exec {argv[0]} > {tmp_path}/out"], engine)
    assert (seen.result.exit_code, seen.result.ended, seen.result.complete) == (7, "exit", True)
    assert (tmp_path / "out").read_bytes() == alone.stdout
    expected = 22 * 9 + 2 * 9 + 2  # Each round's own, execve's among the numbers, and the program itself.
    assert len(seen.calls("execve")) == expected


@engines()
@pytest.mark.parametrize("attached", [False, True])
def test_its_own_sigtraps_arrive(tmp_path: Path, program: Program, engine: str, attached: bool) -> None:
    process: Any = subprocess.Popen(
        [program("own_traps")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout.readline() == "ready\n"
    if not attached:
        process.communicate("x")
        out = tmp_path / "out"
        words = f"echo x | {program('own_traps')} die > {out}; echo $? >> {out}"
        seen = recorded(tmp_path / "c", ["sh", "-c", words], engine)
        assert out.read_text().split("\n")[:3] == ["ready", "traps 60", "133"]
        assert seen.result.exit_code == 0
        return

    def go(_: Progress) -> None:
        if process.stdin:
            process.stdin.write("x")
            process.stdin.close()
            process.stdin = None

    record(process.pid, SessionOptions(engine=engine), CaptureWriter(tmp_path / "c"), go)
    assert process.stdout.read() == "traps 60\n"
    assert process.wait() == 0


@engines()
def test_a_killed_recorder_never_leaves_a_program_stopped(
    tmp_path: Path, program: Program, engine: str
) -> None:
    """At moments from before attaching on; ``--engine python -p`` left 6 of 30 stopped."""
    from test_life import ask, driver, finish

    busy: Any = subprocess.Popen([program("busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert busy.stdout.readline() == b"ready\n"
    code = """
        import sys
        from llamactl.trace.record.syscalls.base import Options
        from llamactl.trace.record.syscalls.choose import make_engine
        engine = make_engine(sys.argv[1], Options())
        for _ in range(1000):
            print("go", flush=True)
            engine.attach(int(sys.argv[2]))
            engine.poll(0.01)
            engine.detach()
            while not engine.state().finished:
                engine.poll(0.01)
            engine.close()
            engine = make_engine(sys.argv[1], Options())
    """
    for seed in range(12):
        process = driver(code, engine, str(busy.pid))
        process.stdout.readline()
        select.select([], [], [], random.Random(seed).uniform(0, 0.1))
        process.kill()
        process.communicate()
        for entry in Path(f"/proc/{busy.pid}/task").iterdir():
            state = (entry / "stat").read_text().rpartition(") ")[2][0]
            assert state not in "Tt", f"stopped at moment {seed}"
    assert ask(busy, b"x") == b"x"
    assert finish(busy) == b"faults 0\n"


@engines("ptrace", "python")
def test_a_stopped_program_is_attached_to_and_let_go_stopped(tmp_path: Path, engine: str) -> None:
    process = subprocess.Popen(["sleep", "60"])
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)

    def end(progress: Progress) -> None:
        if progress.elapsed_s > 0.2:
            os.kill(os.getpid(), signal.SIGINT)

    result = record(process.pid, SessionOptions(engine=engine), CaptureWriter(tmp_path / "c"), end)
    assert result.ended == "interrupt"
    assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] == "T"
    os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    assert process.wait() == -signal.SIGTERM


@engines("python")
def test_a_stop_that_fails_costs_a_note_and_the_thread_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    from llamactl.trace.record.syscalls.python_thread import Thread

    def fails(*_: Any) -> bool:
        raise ZeroDivisionError("as if")

    monkeypatch.setattr(Thread, "enter", fails)
    result = record(
        Command(("sh", "-c", "ls / > /dev/null; exit 7")),
        SessionOptions(engine=engine),
        CaptureWriter(tmp_path / "c"),
    )
    seen = read(tmp_path / "c", result)
    assert result.exit_code == 7
    assert not result.complete
    assert any("ZeroDivisionError" in note for note in result.notes)
    assert len(seen.of(Kind.TASK))
