"""Real processes to look at: each says that it is ready, and lives until the test is over."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program of ``tests/programs`` and wait for its line ``ready``; it ends when its stdin closes."""
    running: list[subprocess.Popen[str]] = []

    def run(
        program: str, *arguments: str, python: str = sys.executable, **environment: str
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [python, str(PROGRAMS / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        # It says ready before it reads its stdin; the kernel tells when it has got there and sleeps.
        while Path(f"/proc/{process.pid}/syscall").read_text().split()[1:2] != ["0x0"]:
            pass
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()
