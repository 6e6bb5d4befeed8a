"""Python's collector seen from outside, against what the program itself says, on every Python of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamactl.process.memory.regions import find_regions
from llamactl.process.python.collector import Collector

PROGRAM = """
import gc, sys
print("ready", flush=True)
for line in sys.stdin:
    gc.collect()
    print(gc.get_stats()[2]["collections"], flush=True)
"""
VERSIONS = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
PYTHONS = [str(VERSIONS / name / "bin" / "python") for name in ("3.10.13", "3.11.7", "3.12.1", "3.13.0")]


@pytest.mark.parametrize("python", [sys.executable, *PYTHONS])
def test_full_collections_are_counted_as_python_counts_them(python: str) -> None:
    if not Path(python).exists():
        pytest.skip(f"{python} isn't here")
    argv = [python, "-c", PROGRAM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            (place,) = find_regions(process.pid)["_PyRuntime"]
            try:
                collector = Collector(process.pid, place)
            except PermissionError:
                pytest.skip("the memory of another process may not be read here")
            except LookupError:
                assert not python.endswith(tuple(f"{version}/bin/python" for version in PYTHONS))
                pytest.skip("this Python's collector isn't of the kind that is known")
            for _ in range(3):
                process.stdin.write("\n")
                process.stdin.flush()
                counted = int(process.stdout.readline())
                assert collector.read() == (False, counted)
            collector.close()
        finally:
            process.kill()


def test_a_process_without_it_is_refused() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with pytest.raises((LookupError, OSError)):
                Collector(process.pid, (1 << 30, (1 << 30) + 4096))
        finally:
            process.kill()
