"""A recording that can't be shown is kept, and the line that says so works as printed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llamactl.trace.capture.reader import Capture

FAILS = """
import sys
from llamactl.cli import main
from llamactl.trace.mechanisms import report
def fails(*_):
    raise IndexError("list index out of range")
report.analyse = fails
sys.argv[0] = "llamactl"
main.main()
"""


def failing(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FAILS, "trace", *words, "--", "sh", "-c", "echo ran; exit 7"],
        capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip


@pytest.mark.parametrize("name", [None, "a b.capture"])
def test_analysis_that_raises_leaves_the_capture_and_says_how_to_show_it(
    tmp_path: Path, name: str | None
) -> None:
    """It was gone with the temporary file."""
    done = failing(tmp_path, *(["-o", str(tmp_path / name)] if name else []))
    assert done.returncode == 125
    assert done.stdout == "ran\n"
    assert "internal error: IndexError" in done.stderr
    (line,) = [line for line in done.stderr.split("\n") if "llamactl trace --from" in line]
    command = shlex.split(line.rpartition("with: ")[2])
    if name:
        assert command[-1] == str(tmp_path / name)
    assert Path(command[-1]).stat().st_mode & 0o777 == 0o600
    again = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd="/"
    )
    assert again.returncode == 0
    assert "exit 7" in again.stderr or "status 7" in again.stderr
    assert Capture.open(command[-1]).ended


def test_no_file_has_a_name_while_it_records_so_nothing_is_left_by_sigkill(tmp_path: Path) -> None:
    """13.8 MB of shared memory and a capture were left at each."""
    before = set(os.listdir("/dev/shm"))
    code = "print('ready', flush=True); import time; time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-m", "llamactl", "trace", "--", sys.executable, "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    assert list(tmp_path.iterdir()) == []
    mine = [name for name in set(os.listdir("/dev/shm")) - before if "llamactl" in name]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(tmp_path.iterdir()) == []
    assert mine == []


def test_an_output_that_finds_no_room_leaves_the_capture_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "-q", "--jsonl", "/dev/full", "--", "ls", "/"],
        capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 125
    assert "no space left" in done.stderr
    (kept,) = tmp_path.iterdir()
    assert f"llamactl trace --from {kept}" in done.stderr
    assert Capture.open(kept).ended


def test_a_recording_that_never_began_keeps_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llamactl", "trace", "--", "/nowhere/nothing"],
        capture_output=True, text=True, check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 127
    assert list(tmp_path.iterdir()) == []
    assert done.stderr.count("\n") == 1
