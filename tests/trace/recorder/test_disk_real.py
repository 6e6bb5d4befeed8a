"""A model that isn't in the page cache, then one that is: what the report says, against cachestat and rusage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from recording import engines
from support import clean_environment

from llamactl.process.kernel import page_cache

pytest_plugins = ["recording"]

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def model(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model that nobody else maps, so that it can be dropped from the page cache."""
    copy = tmp_path_factory.mktemp("model") / "copy.gguf"
    shutil.copyfile(model_path, copy)
    with copy.open("rb+") as file:
        os.fsync(file.fileno())
    return copy


def resident(path: Path) -> int:
    with path.open("rb") as file:
        cache = page_cache(file.fileno())
    return cache.cached_bytes if cache else pytest.skip("the kernel doesn't tell what is cached")


def paged_in_bytes() -> int:
    """Return what the whole machine has read from its disks (``pgpgin`` of proc_vmstat(5))."""
    lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("pgpgin ")) * 1024


def drop(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if resident(path) > path.stat().st_size // 100:
        pytest.skip("the file system keeps the file in memory: no cold start can be made")


@contextmanager
def kept_warm(path: Path) -> Iterator[None]:
    """Bring the whole file into memory and touch it all the time, or a kernel that reclaims early drops it again."""
    done = threading.Event()

    def touch() -> None:
        while not done.wait(0.1):
            path.read_bytes()

    for _ in range(10):
        path.read_bytes()
        if resident(path) == -(-path.stat().st_size // PAGE) * PAGE:
            break
    else:
        pytest.skip("the kernel doesn't keep the file in memory: no warm start can be made")
    toucher = threading.Thread(target=touch)
    toucher.start()
    try:
        yield
    finally:
        done.set()
        toucher.join()


def traced(tmp_path: Path, model: Path, engine: str, *run: str) -> tuple[dict[str, Any], int]:
    """Trace a short generation; return its rows by part, and the bytes that its kernel counted for all children."""
    report = tmp_path / "report.json"
    script = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL);"
        " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock * 512); sys.exit(done.returncode)"
    )
    command = [
        sys.executable, "-m", "llamactl", "trace", "--engine", engine, "--no-calls", "--report", str(report), "--",
        "run", "-m", str(model), "--temp", "0", "-n", "16", "-t", "1", *run, "Hello",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, *command],
        env=clean_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    document = json.loads(report.read_text(encoding="utf-8"))
    return {row["name"]: row for row in document["disk"]}, int(done.stdout)


@engines("ptrace", "perf")
@pytest.mark.parametrize("load", [(), ("--load-mode", "none")], ids=["mapped", "read"])
def test_cold_then_warm(tmp_path: Path, model: Path, engine: str, load: tuple[str, ...]) -> None:
    size = model.stat().st_size
    drop(model)
    before = paged_in_bytes()
    cold, counted = traced(tmp_path, model, engine, *load)
    # Not what is in the page cache now: a kernel that reclaims early may have dropped some of it again.
    assert paged_in_bytes() - before >= size * 0.95
    assert size * 0.95 <= cold["all"]["disk"]["least"] <= counted
    assert cold["load"]["disk"]["most"] >= size * 0.9
    assert cold["generate"]["disk"]["least"] <= size * 0.1

    with kept_warm(model):
        warm, counted = traced(tmp_path, model, engine, *load)
    assert warm["all"]["disk"]["most"] <= counted
    assert warm["load"]["disk"]["most"] <= size * 0.1
    assert warm["all"]["cache"]["least"] >= size * 0.9
    # What the process that renders the template mapped after its last sample is unknown: then there is no most.
    assert (warm["load"]["cache"]["most"] or size) >= size * 0.9
    taken = warm["load"]["read_bytes"] if load else warm["load"]["mapped"]["most"]
    assert (taken or size) >= size * 0.9


READS = """
import multiprocessing, pathlib, sys, time
def work(path):
    pathlib.Path(path).read_bytes()
    time.sleep(0.5)
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1],))
    child.start(); child.join()
"""


@engines("ptrace", "perf")
@pytest.mark.parametrize("how", ["shell", "multiprocessing"])
def test_a_child_of_the_program_reads(tmp_path: Path, model: Path, engine: str, how: str) -> None:
    size = model.stat().st_size
    script = tmp_path / "program.py"
    script.write_text(READS, encoding="utf-8")
    command = {
        "shell": ["sh", "-c", 'cat "$1" >/dev/null; :', "sh", str(model)],
        "multiprocessing": [sys.executable, str(script), str(model)],
    }[how]
    drop(model)
    report = tmp_path / "report.json"
    llamactl = [sys.executable, "-m", "llamactl", "trace", "--engine", engine, "--report", str(report), "--"]
    subprocess.run([*llamactl, *command], env=clean_environment(), check=True, capture_output=True)
    document = json.loads(report.read_text(encoding="utf-8"))
    everything = document["disk"][-1]
    assert size * 0.95 <= everything["disk"]["least"] <= everything["disk"]["most"]
    assert everything["read_bytes"] >= size
    if how == "multiprocessing":  # It was there long enough for a sample.
        by_process = [row["from_disk_bytes"] for row in document["processes"] if row["from_disk_bytes"]]
        assert max(by_process) >= size * 0.95
        assert sum(by_process) <= everything["disk"]["most"]
        assert document["processes"][0]["from_disk_bytes"] < size * 0.1
