"""``inspect`` and ``trace`` look at one process: what both name has the same name."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Run

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
POOL = """
import ctypes, sys, threading
pool = ctypes.CDLL(sys.argv[1])
pool.work()
threading.Thread(target=sys.stdin.read, name="reader", daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
WORK = """
int work(void) {
    int threads = 0;
#pragma omp parallel num_threads(3) reduction(+ : threads)
    threads += 1;
    return threads;
}
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[int]:
    """A Python with a pool of libgomp's and a thread of its own; all of them wait."""
    (tmp_path / "work.c").write_text(WORK)
    library = tmp_path / "libwork.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-fopenmp", str(tmp_path / "work.c"), "-o", str(library)], check=True
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", POOL, str(library)], text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.kill()


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="who started a thread is read from glibc's descriptors on x86-64",
)
def test_threads_and_mappings(program: int, llamactl: Run, tmp_path: Path) -> None:
    capture = str(tmp_path / "x.capture")
    seen = llamactl("trace", "-p", str(program), "--duration", "0.3", "-o", capture, "-q")
    if seen.returncode:
        pytest.skip(f"attaching isn't allowed here: {seen.stderr}")
    report = tmp_path / "report.json"
    llamactl("trace", "--from", capture, "--report", str(report), "--show", "all")
    traced = json.loads(report.read_text())
    inspected = json.loads(llamactl("inspect", str(program), "--json").stdout)["processes"][0]

    roles = {row["reading"]["thread"]: row["role"] for row in inspected["threads"]["threads"]}
    assert sorted(roles.values()) == ["Python", "libgomp", "libgomp", "main"]
    assert {row["tid"]: row["role"] for row in traced["threads"]} == roles

    named = {row["path"]: row["role"] for row in inspected["mappings"] if row["path"].startswith(("/", "["))}
    also = {row["name"]: row["role"] for row in traced["mappings"] if row["name"].startswith(("/", "["))}
    both = named.keys() & also.keys()
    assert any("libgomp" in path for path in both)
    assert {path: also[path] for path in both} == {path: named[path] for path in both}
