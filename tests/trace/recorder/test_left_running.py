"""A program that leaves a service behind: the recording says what it goes on for, and the report what ran on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recording import engines
from support import REPOSITORY, clean_environment

from llamactl.render.trace.waiting import waiting_text

pytest_plugins = ["recording"]

PROGRAM = REPOSITORY / "tests" / "programs" / "leaves_daemon.py"
WARNING = re.compile(r"has ended and left running: \S+ \((\d+)\)")


def started(tmp_path: Path, engine: str) -> tuple[subprocess.Popen[str], Path, int]:
    """Start a recording and wait until it names the service; return it, the pipe and the service's number."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [
        sys.executable, "-m", "llamactl", "trace", "--engine", engine, "--report", str(tmp_path / "report.json"),
        "--", sys.executable, str(PROGRAM), str(pipe),
    ]  # fmt: skip
    running = subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if found := WARNING.search(line):
            assert "Ctrl-C twice" in line
            return running, pipe, int(found[1])
    raise AssertionError("the recording ended without a word")


def runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie, which some containers' first process never fetches."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][:1]
    except OSError:
        return False
    return state not in {"Z", "X"}


@engines("ptrace", "perf")
def test_the_service_is_named_while_it_is_waited_for_and_after(tmp_path: Path, engine: str) -> None:
    running, pipe, service = started(tmp_path, engine)
    assert runs(service)
    pipe.write_bytes(b"")
    running.communicate(timeout=60)
    assert running.returncode == 0
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    threads = next(row for row in document["mechanisms"] if row["name"] == "Threads")
    assert any(f"(process {service}) until" in fact for fact in threads["text"])
    names = {row["pid"]: row["name"] for row in document["processes"]}
    assert names[service] == names[document["metadata"]["pid"]], "it runs its parent's program"


@engines("ptrace", "perf")
def test_two_interrupts_end_it(tmp_path: Path, engine: str) -> None:
    running, _, service = started(tmp_path, engine)
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGINT)
    for _ in range(20):  # Two signals that come at once are one.
        try:
            running.wait(timeout=3)
            break
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
    assert running.returncode is not None
    running.communicate(timeout=10)
    assert not runs(service)


@pytest.mark.parametrize(
    ("count", "end"), [(1, "ends it and the recording"), (5, "ends them and the recording")]
)
def test_names_are_few_and_harmless(count: int, end: str) -> None:
    text = waiting_text([(number, "\x1b[2Jbad") for number in range(count)])
    assert "\x1b" not in text
    assert text.endswith(end)
    assert ("and 2 more" in text) is (count == 5)
