"""The program's life under the recorder: status, signals, stops, attaching, and what happens when we are killed."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recording import Program, engines, read, recorded

import llamactl
from llamactl.errors import LlamactlError
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import CURRENT_DIRECTORY, Kind, Task
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import Progress, SessionOptions
from llamactl.trace.record.syscalls.base import Command, Engine, Options
from llamactl.trace.record.syscalls.choose import LOOP_SYSTEM_CALL, make_engine
from llamactl.trace.record.syscalls.ptrace import PtraceEngine

pytest_plugins = ["recording"]

ROOT = Path(llamactl.__file__).resolve().parents[1]
"""Where the package that is tested lies."""


def driver(code: str, *argv: str, **kw: Any) -> Any:
    """Start a Python process that records; it finds the source tree as these tests do."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(code), *argv]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, **kw)


def pid_from(process: Any) -> int:
    """Read up to the driver's own line; the program may print to the same pipe before."""
    return next(int(line.split()[1]) for line in process.stdout if line.startswith("pid "))


@pytest.fixture
def busy(program: Program) -> Iterator[Any]:
    """A running program with three threads; its ``ask`` echoes through it."""
    process: Any = subprocess.Popen(
        [program("busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()


def ask(process: Any, byte: bytes) -> bytes:
    process.stdin.write(byte)
    return bytes(process.stdout.read(1))


def finish(process: Any) -> bytes:
    process.stdin.close()
    rest: bytes = process.stdout.read()
    assert process.wait() == 0
    return rest


def drain(engine: Engine) -> int:
    count = 0
    while not engine.state().finished:
        batch = engine.poll(0.05)
        count += len(batch.records) if batch else 0
    return count


@engines()
@pytest.mark.parametrize("status", [0, 9])
def test_exit_status_is_ours(tmp_path: Path, program: Program, engine: str, status: int) -> None:
    seen = recorded(tmp_path / "c", [program("call_process"), str(status)], engine)
    assert seen.result.exit_code == status


@engines("ptrace", "perf", "python")
def test_killed_by_a_signal(tmp_path: Path, engine: str) -> None:
    seen = recorded(tmp_path / "c", ["sh", "-c", "kill -KILL $$"], engine)
    assert seen.result.exit_code == 128 + signal.SIGKILL


@engines()
def test_attach_shows_all_threads_and_leaves_them_running(tmp_path: Path, busy: Any, engine: str) -> None:
    result = None

    def until_enough(progress: Progress) -> None:
        if progress.records > 300:
            os.kill(os.getpid(), signal.SIGINT)

    writer = CaptureWriter(tmp_path / "c")
    result = record(busy.pid, SessionOptions(engine=engine), writer, until_enough)
    seen = read(tmp_path / "c", result)
    assert result.ended == "interrupt"
    assert result.exit_code is None
    assert len(set(seen.of(Kind.SYSCALL)["tid"].tolist())) >= 2
    assert {CURRENT_DIRECTORY, 0, 1} <= set(seen.of(Kind.FD)["nr"].tolist())
    assert len(seen.of(Kind.MAP)) > 5
    assert (seen.of(Kind.TASK)["nr"] == Task.NAME).sum() >= 3
    assert ask(busy, b"q") == b"q"
    assert "TracerPid:\t0" in Path(f"/proc/{busy.pid}/status").read_text()
    assert finish(busy) == b"faults 0\n"


@engines()
def test_attach_and_detach_again_and_again(busy: Any, engine: str) -> None:
    echoed = bytearray()
    for i in range(100 if engine == "ptrace" else 25):
        recorder = make_engine(engine, Options())
        recorder.attach(busy.pid)
        if i % 2:  # Every second time without waiting for anything to happen.
            while recorder.poll(0.01) is None:
                pass
        echoed += ask(busy, bytes([65 + i % 26]))
        recorder.detach()
        drain(recorder)
        recorder.close()
    assert echoed == bytes(65 + i % 26 for i in range(len(echoed)))
    assert finish(busy) == b"faults 0\n"


@engines("ptrace", "python")
def test_a_signal_that_comes_while_detaching_arrives(program: Program, engine: str) -> None:
    code = (
        "import signal,sys; got=[]; signal.signal(10, lambda *a: got.append(1)); print('ready', flush=True)\n"
    )
    code += "for line in sys.stdin: print(len(got), flush=True)"
    target: Any = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert target.stdout.readline() == "ready\n"
    for i in range(20):
        recorder = make_engine(engine, Options())
        recorder.attach(target.pid)
        os.kill(target.pid, 10)
        recorder.detach()
        drain(recorder)
        recorder.close()
        target.stdin.write("\n")
        target.stdin.flush()
        assert target.stdout.readline() == f"{i + 1}\n"
    target.stdin.close()
    target.stdout.close()
    assert target.wait() == 0


@engines("ptrace", "python")
def test_stop_and_continue(tmp_path: Path, program: Program, engine: str) -> None:
    """A stopped program stays stopped under the recorder (PTRACE_LISTEN) and goes on with SIGCONT."""
    target = "import os,signal; os.kill(os.getpid(), signal.SIGSTOP); print('went on')"
    code = """
        import sys
        from llamactl.trace.capture.writer import CaptureWriter
        from llamactl.trace.record.syscalls.base import Command
        from llamactl.trace.record.session import record
        from llamactl.trace.record.session_types import Progress, SessionOptions
        def tell(progress): print(progress.pid, flush=True)
        r = record(Command((sys.executable, "-c", sys.argv[1])), SessionOptions(engine=sys.argv[3]),
                   CaptureWriter(sys.argv[2]), tell)
        sys.exit(r.exit_code)
    """
    process = driver(code, target, str(tmp_path / "c"), engine)
    pid = int(process.stdout.readline())
    state = ""
    while not state.startswith("t"):
        assert process.stdout.readline()  # One line each time the recorder looks.
        state = next(
            line.split()[1]
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if "State" in line
        )
    for _ in range(5):  # It stays so.
        process.stdout.readline()
    assert Path(f"/proc/{pid}/stat").read_text().split()[2] == "t"
    os.kill(pid, signal.SIGCONT)
    assert "went on\n" in process.stdout.read()
    assert process.wait() == 0


DRIVER = """
    import sys
    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.syscalls.base import Command
    from llamactl.trace.record.session import record
    from llamactl.trace.record.session_types import Progress, SessionOptions
    target = int(sys.argv[3]) if sys.argv[3].isdigit() else Command(tuple(sys.argv[3:]))
    told = []
    def tell(progress):
        if not told:
            told.append(progress)
            print("pid", progress.pid, flush=True)
    result = record(target, SessionOptions(engine=sys.argv[1]), CaptureWriter(sys.argv[2]), tell)
    print(result.ended, result.exit_code, result.records > 0)
"""


@engines()
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_recorder_leaves_a_started_child_dead(
    tmp_path: Path, program: Program, engine: str, seed: int
) -> None:
    process = driver(DRIVER, engine, str(tmp_path / "c"), program("busy"), stdin=subprocess.PIPE)
    pid = pid_from(process)
    handle = os.pidfd_open(pid)
    ready = random.Random(seed).uniform(0, 0.05)
    select.select([], [], [], ready)
    process.kill()
    process.wait()
    assert select.select([handle], [], [], 10)[0], "the child outlived the recorder"
    os.close(handle)
    Capture.open(tmp_path / "c")  # Readable up to where it got.


@engines()
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_recorder_leaves_an_attached_program_running(
    tmp_path: Path, busy: Any, engine: str, seed: int
) -> None:
    process = driver(DRIVER, engine, str(tmp_path / "c"), str(busy.pid))
    assert pid_from(process) == busy.pid
    select.select([], [], [], random.Random(seed).uniform(0, 0.05))
    process.kill()
    process.wait()
    assert ask(busy, b"x") == b"x"
    assert finish(busy) == b"faults 0\n"


@engines()
def test_ctrl_c_goes_to_the_program_and_leaves_a_whole_capture(
    tmp_path: Path, program: Program, engine: str
) -> None:
    process = driver(
        DRIVER, engine, str(tmp_path / "c"), program("busy"), stdin=subprocess.PIPE, start_new_session=True
    )
    lines = {process.stdout.readline().split()[0] for _ in range(2)}
    assert lines == {"pid", "ready"}
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == f"exit {128 + signal.SIGINT} True\n"
    capture = Capture.open(tmp_path / "c")
    assert capture.complete
    assert capture.count > 0


@engines()
def test_duration_ends_the_recording_but_not_the_program(tmp_path: Path, engine: str) -> None:
    code = "import os, select\nfor i in range(60): os.getppid(); select.select([],[],[],0.03)"
    seen = recorded(tmp_path / "c", [sys.executable, "-S", "-c", code], engine, duration_s=0.8)
    assert seen.result.ended == "duration"
    assert seen.result.exit_code == 0
    assert not seen.result.complete
    assert 0 < len(seen.calls("getppid")) < 60


@engines("ptrace")
def test_limits(tmp_path: Path, program: Program, engine: str) -> None:
    argv = [program("threads"), "2", "20000", "2"]
    few = recorded(tmp_path / "c", argv, engine, limit_records=1000)
    assert few.result.ended == "limit"
    assert few.result.exit_code == 0
    assert 1000 <= few.capture.count < 40000
    small = recorded(tmp_path / "d", argv, engine, limit_bytes=100_000)
    assert small.result.ended == "limit"


@engines("ptrace")
def test_already_traced(busy: Any, engine: str) -> None:
    first = make_engine(engine, Options())
    first.attach(busy.pid)
    second = make_engine(engine, Options())
    with pytest.raises(LlamactlError, match=r"already traced by process \d+ \("):
        second.attach(busy.pid)
    second.close()
    first.close()
    assert finish(busy) == b"faults 0\n"


@engines("ptrace", "perf", "python")
def test_no_such_process(engine: str) -> None:
    recorder = make_engine(engine, Options())
    with pytest.raises(LlamactlError, match="no such process"):
        recorder.attach(2**22 + 5)
    recorder.close()


@engines()
def test_no_such_program(tmp_path: Path, engine: str) -> None:
    with pytest.raises(LlamactlError) as caught:
        recorded(tmp_path / "c", ["no-such-program-here"], engine)
    assert caught.value.exit_code == 127
    folder = tmp_path / "x"
    folder.write_text("not a program")
    with pytest.raises(LlamactlError) as caught:
        recorded(tmp_path / "c", [str(folder)], engine)
    assert caught.value.exit_code == 126


@engines()
def test_phase_marks(tmp_path: Path, engine: str) -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from llamactl.trace.record.clocked.marks import phase\nwith phase('load'): pass\nwith phase('decode'): pass"
    seen = recorded(tmp_path / "c", [sys.executable, "-c", code, str(ROOT)], engine, marks=True)
    phases = seen.of(Kind.PHASE)
    assert [seen.capture.metadata["phases"][number] for number in phases["nr"]] == ["load", "decode"]
    assert (phases["tid"] == seen.result.pid).all()


def test_a_full_disk_ends_the_recording_but_not_the_program(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.writev
    budget = 200_000

    def full(fd: int, parts: list[bytes]) -> int:
        nonlocal budget
        size = sum(len(part) for part in parts)
        if size > budget:
            raise OSError(28, "No space left on device")
        budget -= size
        return real(fd, parts)

    monkeypatch.setattr(os, "writev", full)
    seen = recorded(tmp_path / "c", [program("threads"), "2", "20000", "2"], "ptrace")
    assert seen.result.exit_code == 0
    assert seen.result.ended == "error"
    assert "No space left" in str(seen.result.error)
    assert not seen.capture.complete


def test_a_request_while_all_blocks_are_full(program: Program) -> None:
    """Nobody takes records, so the recorder waits for room; what is asked of it must not wait for that."""
    recorder = PtraceEngine(Options())
    recorder.start(Command((program("threads"), "2", "100000", "2")))
    while not recorder.waits():
        select.select([], [], [], 0.01)
    recorder.pass_through()
    drain(recorder)
    assert recorder.state().wait_status == 0
    recorder.close()


@engines()
def test_a_first_thread_that_ends_before_the_others(program: Program, engine: str) -> None:
    target: Any = subprocess.Popen(
        [program("leader")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert target.stdout.readline() == b"ready\n"
    recorder = make_engine(engine, Options(frozenset({LOOP_SYSTEM_CALL}), faults=False))
    recorder.attach(target.pid)
    target.stdin.write(b"a")
    while Path(f"/proc/{target.pid}/stat").read_text().split()[2] != "Z":
        recorder.poll(0.01)
    recorder.poll(0.2)  # Long enough for a recorder that would take this for the end.
    target.stdin.write(b"b")
    seen = 0
    while not recorder.state().finished or seen < 100:
        batch = recorder.poll(0.05)
        seen += int((batch.records["nr"] == LOOP_SYSTEM_CALL).sum()) if batch else 0
        if target.poll() is not None and recorder.state().finished and batch is None:
            break
    recorder.close()
    assert seen == 100
    assert target.wait() == 0
    target.stdin.close()
    target.stdout.close()


@engines("perf")
def test_perf_without_strings_waits_for_the_program(engine: str) -> None:
    """Its events end a moment before the program can be waited for, or long before when it was stopped."""
    for stopped in (False, True):
        recorder = make_engine(engine, Options(), with_strings=False)
        code = "import select, sys; select.select([], [], [], 0.1); sys.exit(3)"
        recorder.start(Command((sys.executable, "-S", "-c", code)))
        if stopped:
            recorder.pass_through()
        drain(recorder)
        assert recorder.state().wait_status == 3 << 8
        recorder.close()
