"""llamactl gets a signal at a random moment, over its recorders and commands, of programs started and attached to.

Afterwards the program runs, or ended as documented; its code and its text are right; nothing is left.
"""

from __future__ import annotations

import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aftermath import ENDS_S, Room, check_capture, check_kernel, check_untouched, compiled

from llamactl.trace.record.syscalls.refusal import CAP_PERFMON, CAP_SYS_ADMIN, read_rights

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
ENGINES = ("ptrace", "python", "perf")


def engine_of(moment: int) -> str:
    rights = read_rights()
    may = rights.has(CAP_PERFMON) or rights.has(CAP_SYS_ADMIN)
    return ENGINES[moment % (3 if may else 2)]


def busy(folder: Path) -> Any:
    """Start the program whose text shows whether anything was changed."""
    process: Any = subprocess.Popen(
        [compiled("busy", folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def ended(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=ENDS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def statuses(number: signal.Signals) -> set[int]:
    """What llamactl may end with: by the signal before it listens to it, and after it as documented.

    1 is Python's own answer to Ctrl-C while it starts.
    """
    return {-number, 128 + number, 130, 0} | ({1} if number is signal.SIGINT else set())


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def latest_s(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long llamactl takes to start, record and show: moments are to fall into each of these, on any machine."""
    target = busy(programs)
    begin = time.monotonic()
    try:
        Room(tmp_path_factory.mktemp("latest")).start(
            "trace", "--duration", "0.4", "-p", str(target.pid)
        ).communicate(timeout=ENDS_S * 4)
    finally:
        target.kill()
        target.wait()
    return max(2.5, 1.2 * (time.monotonic() - begin))


def test_at_a_moment(tmp_path: Path, programs: Path, latest_s: float, moment: int) -> None:
    chance = random.Random(moment)
    number, attached = SIGNALS[moment % 4], bool(moment // 4 % 2)
    engine, kept = engine_of(moment), chance.random() < 0.5
    room = Room(tmp_path)
    capture = tmp_path / "c"
    words = ["trace", "--engine", engine, *(["-o", str(capture)] if kept else [])]
    words += chance.choice([[], ["--no-calls"], ["--log"], ["-e", "all"], ["--duration", "0.4"]])
    words += ["--jsonl", str(tmp_path / "j")] if chance.random() < 0.3 else []
    target = busy(programs) if attached else None
    after = ["-p", str(target.pid)] if target else ["--", compiled("busy", programs)]
    process = room.start(*words, *after)
    try:
        select.select([], [], [], chance.uniform(0, latest_s))
        process.send_signal(number)
        if target is None and process.stdin and number not in (signal.SIGKILL,):
            select.select([], [], [], chance.uniform(0, 0.2))
        out, errors = ended(process)
        assert process.returncode in statuses(number), errors
        assert b"internal error" not in errors
        if target is not None:
            check_untouched(target.pid)
            target.stdin.write(b"x")
            assert target.stdout.read(1) == b"x"
            target.stdin.close()
            assert target.stdout.read() == b"faults 0\n"
            assert target.wait() == 0
        elif process.returncode == 0:
            assert out == b"ready\nfaults 0\n"
        room.check_nothing_left()
        check_capture(capture)
        check_kernel()
    finally:
        process.kill()
        if target is not None:
            target.kill()
            target.wait()


COMMANDS = ("inspect", "run", "bench", "machine")


def test_other_commands_at_a_moment(
    tmp_path: Path, programs: Path, model_file: str, latest_s: float, moment: int
) -> None:
    chance = random.Random(1000 + moment)
    number, command = SIGNALS[moment % 4], COMMANDS[moment // 4 % 4]
    room = Room(tmp_path)
    history = tmp_path / "history.sqlite"
    target = busy(programs) if command == "inspect" else None
    words = {
        "inspect": ["inspect", str(target.pid if target else 0), "--json"],
        "machine": ["inspect"],
        "run": ["run", "-m", model_file, "-n", "16", "--temp", "0", "Hello"],
        "bench": [
            *("bench", "-m", model_file, "-p", "8", "-n", "4", "-r", "2", "-t", "1"),
            *("--save", str(history)),
        ],
    }[command]
    process = room.start(*words, stdin=subprocess.DEVNULL)
    try:
        select.select([], [], [], chance.uniform(0, latest_s))
        process.send_signal(number)
        _, errors = ended(process)
        assert process.returncode in statuses(number), errors
        assert b"internal error" not in errors
        if target is not None:
            check_untouched(target.pid)
            target.stdin.close()
            assert target.stdout.read() == b"faults 0\n"
        room.check_nothing_left()
        if history.exists():
            with closing(sqlite3.connect(history)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        process.kill()
        if target is not None:
            target.kill()
            target.wait()


def test_the_model_in_the_cache_is_still_whole(model_file: str) -> None:
    """Last: what was killed above read it, and may not have hurt it."""
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "inspect", model_file],
        capture_output=True, check=False, timeout=ENDS_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
