"""What keeps the CPUs awake between stops must sleep itself when stops are rare."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import pytest

from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.record.session import record
from llamactl.trace.record.session_types import SessionOptions
from llamactl.trace.record.syscalls.base import Command

RARE = "import select\nfor _ in range(400): select.select([], [], [], 0.003)"
"""A stop every three milliseconds: a server's pace."""


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("engine", ["ptrace", "python"])
@pytest.mark.parametrize("argv", [("sleep", "1"), (sys.executable, "-S", "-c", RARE)], ids=["none", "rare"])
def test_rare_stops_leave_the_cpu_alone(engine: str, argv: tuple[str, ...], tmp_path: Path) -> None:
    cpu, begin = cpu_s(), time.monotonic()
    result = record(Command(argv), SessionOptions(engine=engine), CaptureWriter(tmp_path / "capture"))
    assert result.exit_code == 0
    assert cpu_s() - cpu < 0.5 * (time.monotonic() - begin)
