"""Programs whose names hold what ends a line or a field elsewhere: they are recorded, and live."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from recording import engines, read

from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.record.clocked.sampler import COUNTERS
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import Progress, SessionOptions
from llamactl.trace.record.syscalls.base import Command

pytest_plugins = ["recording"]

CODE = """
import mmap, sys
open("/proc/self/comm", "wb").write(sys.argv[1].encode())
file = open(sys.argv[2], "rb")
kept = mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_READ)
open(sys.argv[3], "rb").read(1)
sys.exit(7)
"""


@engines()
@pytest.mark.parametrize("name", ["a\nb", "x) S 1 (y", "c\rd", "\x85e"])
def test_a_program_with_such_names_is_recorded_to_its_end(tmp_path: Path, engine: str, name: str) -> None:
    """It was an IndexError in sampling, and the program was killed with it."""
    mapped, gate = tmp_path / f"m{name}m", tmp_path / "gate"
    mapped.write_bytes(bytes(4096))
    os.mkfifo(gate)
    hold = os.open(gate, os.O_RDWR)
    left = 4

    def progress(_: Progress) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.write(hold, b"x")  # It waits in the pipe, also for a program that comes late.

    command = Command((sys.executable, "-c", CODE, name, str(mapped), str(gate)))
    options = SessionOptions(engine=engine, sample_s=0.01)
    result = record(command, options, CaptureWriter(tmp_path / "c"), progress)
    os.close(hold)
    found = read(tmp_path / "c", result)
    assert result.exit_code == 7
    assert not [note for note in result.notes if "report" in note]
    assert {COUNTERS[row["nr"]] for row in found.of(Kind.COUNTER)} >= {"rss_bytes", "threads", "minor_faults"}


def test_an_executable_with_a_newline_in_its_name(tmp_path: Path) -> None:
    program = tmp_path / "a\nb\rc"
    shutil.copy("/bin/true", program)
    result = record(Command((str(program),)), SessionOptions(engine="ptrace"), CaptureWriter(tmp_path / "c"))
    found = read(tmp_path / "c", result)
    assert result.exit_code == 0
    (row,) = [row for row in found.of(Kind.TASK) if row["nr"] == Task.EXEC]
    assert found.capture.text(row["text"]) == os.fsencode(program.name)
