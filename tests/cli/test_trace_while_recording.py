"""What ``llamactl trace`` does while a real program runs: its limits, its duration and its progress line."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
ENGINES = ("ptrace", "python")
"""``perf`` takes rights; its limits are the session's, which is the same for all."""

RECORD_BYTES = 96


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a function that compiles tests/programs/NAME.c."""
    folder = tmp_path_factory.mktemp("programs")

    def compile_program(name: str) -> str:
        target = folder / name
        if not target.exists():
            source = TESTS / "programs" / f"{name}.c"
            subprocess.run(["cc", "-O2", "-pthread", str(source), "-o", str(target)], check=True)
        return str(target)

    return compile_program


def trace(*words: str) -> subprocess.CompletedProcess[str]:
    """Run ``llamactl trace`` as a process of its own."""
    command = [sys.executable, "-m", "llamactl", "trace", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=TESTS)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_limit_of_records_is_kept_and_told(
    tmp_path: Path, program: Callable[[str], str], engine: str
) -> None:
    path = str(tmp_path / "c")
    wanted = ("-e", "getppid", "--limit", "1000")
    done = trace("--engine", engine, "-o", path, *wanted, "--", program("threads"), "2", "3000", "2")
    assert done.returncode == 0
    assert "INCOMPLETE: ended by --limit" in done.stderr
    again = json.loads(trace("--from", path, "--format", "json").stderr)
    assert again["cost"]["records"] == 1000
    assert again["cost"]["complete"] is False
    assert again["metadata"]["ended"] == "limit"
    calls = {row["name"]: row["count"] for row in again["calls"]}
    assert 900 < calls["getppid"] <= 1000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_limit_of_bytes_is_the_size_of_the_capture(
    tmp_path: Path, program: Callable[[str], str], engine: str
) -> None:
    path = tmp_path / "c"
    wanted = ("-e", "getppid", "--limit", "100k")
    done = trace("--engine", engine, "-o", str(path), *wanted, "--", program("threads"), "2", "3000", "2")
    assert done.returncode == 0
    assert "INCOMPLETE: ended by --limit" in done.stderr
    closing_facts = 8192
    assert 100 * 1024 <= path.stat().st_size <= 100 * 1024 + RECORD_BYTES + closing_facts
    again = json.loads(trace("--from", str(path), "--format", "json").stderr)
    assert 900 < again["cost"]["records"] <= 100 * 1024 / RECORD_BYTES


def test_a_limit_that_isn_t_reached_changes_nothing(tmp_path: Path, program: Callable[[str], str]) -> None:
    path = str(tmp_path / "c")
    words = ("-e", "getppid", "--limit", "1G", "--duration", "3600", "--engine", "ptrace")
    done = trace("-o", path, *words, "--", program("threads"), "2", "500", "2")
    assert done.returncode == 0
    again = json.loads(trace("--from", path, "--format", "json").stderr)
    assert again["cost"]["complete"] is True
    assert again["metadata"]["ended"] == "exit"
    assert {row["name"]: row["count"] for row in again["calls"]}["getppid"] == 1000


@pytest.mark.parametrize("engine", ENGINES)
def test_a_duration_lets_an_attached_program_run_on(
    tmp_path: Path, program: Callable[[str], str], engine: str
) -> None:
    target: Any = subprocess.Popen(
        [program("busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert target.stdout.readline() == b"ready\n"
    path = str(tmp_path / "c")
    done = trace("--engine", engine, "-o", path, "--no-calls", "--duration", "0.3", "-p", str(target.pid))
    assert done.returncode == 0
    assert "INCOMPLETE: ended by --duration" in done.stderr
    again = json.loads(trace("--from", path, "--format", "json").stderr)
    assert again["metadata"]["ended"] == "duration"
    assert again["metadata"]["cost"]["traced_s"] >= 0.3
    calls = {row["name"]: row["count"] for row in again["calls"]}
    assert calls["write"] > 0
    target.stdin.write(b"x")
    assert target.stdout.read(1) == b"x"
    target.stdin.close()
    assert target.stdout.read() == b"faults 0\n"
    assert target.wait() == 0


class Terminal:
    """A process whose stderr is a terminal, as a person's is."""

    def __init__(self, *words: str, ends: tuple[int, int] | None = None) -> None:
        self.seen = ""
        self._master, slave = ends or pty.openpty()
        self.process: Any = subprocess.Popen(
            [sys.executable, "-m", "llamactl", "trace", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave, cwd=TESTS, bufsize=0,
        )  # fmt: skip
        os.close(slave)

    def read(self) -> bool:
        """Read what is there or comes; False at the end."""
        try:
            data = os.read(self._master, 4096)
        except OSError:  # EIO: nobody has the other end any more.
            data = b""
        self.seen += data.decode()
        return bool(data)

    def finish(self) -> int:
        """End the program's input, read the rest, and return the status."""
        self.process.stdin.close()
        while self.read():
            pass
        self.process.stdout.close()
        os.close(self._master)
        return int(self.process.wait())


PROGRESS = re.compile(r"\rtrace: (\d+\.\d) s, ([\d,]+) records, (\d+\.\d) MB *")


@pytest.fixture
def busy(program: Callable[[str], str]) -> Iterator[Callable[..., Any]]:
    """Return a function that starts ``busy`` and waits until it works."""
    started: list[Any] = []

    def start(**streams: Any) -> Any:
        target: Any = subprocess.Popen(
            [program("busy")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, **streams
        )
        started.append(target)
        assert target.stdout.readline() == b"ready\n"
        return target

    yield start
    for target in started:
        target.stdin.close()
        target.stdout.close()
        target.wait()


def echoed(target: Any, *more: bytes) -> None:
    """Have the program answer, so that it has run for a while."""
    for byte in (b"a", b"b", *more):
        target.stdin.write(byte)
        assert target.stdout.read(1) == byte


def test_a_terminal_gets_a_progress_line_that_goes_away(busy: Callable[..., Any]) -> None:
    target = busy(stderr=subprocess.DEVNULL)
    terminal = Terminal("--engine", "ptrace", "--no-calls", "-p", str(target.pid))
    while len(PROGRESS.findall(terminal.seen)) < 3:
        assert terminal.read(), terminal.seen
    target.stdin.close()
    assert terminal.finish() == 0
    lines = PROGRESS.findall(terminal.seen)
    records = [int(records.replace(",", "")) for _, records, _ in lines]
    assert records == sorted(records)
    assert records[0] < records[-1]
    assert [float(seconds) for seconds, _, _ in lines] == sorted(float(seconds) for seconds, _, _ in lines)
    before, _, report = terminal.seen.rpartition("\r" + " " * 70 + "\r")
    assert PROGRESS.search(before)
    assert not PROGRESS.search(report)
    assert report.startswith("trace: busy")


def test_nothing_is_drawn_on_the_terminal_of_a_program_that_is_started(program: Callable[[str], str]) -> None:
    """Its answer stands there: a line drawn over it would take it away."""
    terminal = Terminal("--engine", "ptrace", "--", program("busy"))
    assert terminal.process.stdout.readline() == b"ready\n"
    begun = time.monotonic()
    while time.monotonic() - begun < 1:  # Five times as long as until a line used to be drawn.
        echoed(terminal.process)
    assert terminal.finish() == 0
    assert "records," not in terminal.seen.partition("trace: busy")[0]
    assert "\r " not in terminal.seen


def test_nothing_is_drawn_on_the_terminal_that_a_running_program_has(busy: Callable[..., Any]) -> None:
    master, slave = pty.openpty()
    target = busy(stderr=slave)
    words = ("--engine", "ptrace", "--no-calls", "--duration", "1", "-p", str(target.pid))
    terminal = Terminal(*words, ends=(master, slave))
    terminal.process.wait(60)
    echoed(target)
    target.stdin.close()
    target.wait()
    assert terminal.finish() == 0
    assert not PROGRESS.search(terminal.seen)


@pytest.mark.parametrize("words", [("-q",), ("--log", "--report", "/dev/null")])
def test_no_progress_line_where_nobody_wants_it(
    program: Callable[[str], str], words: tuple[str, ...]
) -> None:
    terminal = Terminal("--engine", "ptrace", *words, "--", program("busy"))
    assert terminal.process.stdout.readline() == b"ready\n"
    for byte in (b"a", b"b"):
        terminal.process.stdin.write(byte)
        assert terminal.process.stdout.read(1) == byte
    assert terminal.finish() == 0
    assert "records" not in terminal.seen


def test_no_progress_line_in_a_file(program: Callable[[str], str]) -> None:
    done = trace("--engine", "ptrace", "--", program("threads"), "2", "20000", "2")
    assert "\r" not in done.stderr
