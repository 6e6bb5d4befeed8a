"""trace -p of a server's master: its workers are named, and recorded with it on request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from recording import engines
from support import REPOSITORY, clean_environment

pytest_plugins = ["recording"]

PROGRAM = REPOSITORY / "tests" / "programs" / "master_of_workers.py"


@contextmanager
def master(tmp_path: Path, method: str = "fork") -> Iterator[tuple[int, list[int], str]]:
    """Start the program; yield the master, its workers and the file that these read."""
    data = tmp_path / "data.bin"
    data.write_bytes(b"x" * 1000)
    command = [sys.executable, str(PROGRAM), str(data), method]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        word, first, *workers = process.stdout.readline().split()
        assert word == "ready"
        yield int(first), [int(pid) for pid in workers], str(data)
        process.stdin.close()


def attached(tmp_path: Path, pid: int, *options: str) -> dict[str, Any]:
    report = tmp_path / "report.json"
    command = [
        sys.executable, "-m", "llamactl", "trace", "-p", str(pid), "--duration", "1", "--report", str(report),
        *options,
    ]  # fmt: skip
    subprocess.run(command, env=clean_environment(), check=True, capture_output=True, timeout=60)
    document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return document


@engines("ptrace", "perf", "python")
def test_the_workers_are_recorded_with_it(tmp_path: Path, engine: str) -> None:
    with master(tmp_path) as (first, workers, data):
        found = attached(tmp_path, first, "--children", "--engine", engine)
    calls = {row["pid"]: row["count"] for row in found["processes"]}
    assert {first, *workers} <= {*calls, first}
    assert all(calls[worker] for worker in workers)
    read = next(row for row in found["files"] if row["name"] == data)
    assert read["read_bytes"] >= 2 * 100
    parents = {row["pid"]: row["parent"] for row in found["processes"]}
    assert all(parents[worker] == first for worker in workers)
    sampled = {row["pid"] for row in found["counters"]}
    assert {first, *workers} <= sampled
    assert "children-not-recorded" not in [one["code"] for one in found["findings"]]


def test_without_the_option_they_are_named(tmp_path: Path) -> None:
    with master(tmp_path) as (first, workers, _):
        found = attached(tmp_path, first)
        assert not {row["pid"] for row in found["processes"]} & set(workers)
    (finding,) = [one for one in found["findings"] if one["code"] == "children-not-recorded"]
    assert {one["pid"] for one in finding["figures"]["children"]} == set(workers)
    assert f"llamactl trace -p {first} --children" in finding["remedy"]


@engines("ptrace", "perf")
def test_the_recorder_is_no_child_of_whom_it_looks_at(tmp_path: Path, engine: str) -> None:
    command = (
        f'"{sys.executable}" -m llamactl trace -p $$ --children --duration 0.2 --engine {engine}'
        f' --report "{tmp_path}/report.json"; :'
    )
    subprocess.run(
        ["sh", "-c", command], env=clean_environment(), check=True, capture_output=True, timeout=60
    )
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert document["metadata"]["children"] == {"recorded": True, "processes": []}


def test_the_option_needs_a_process() -> None:
    command = [sys.executable, "-m", "llamactl", "trace", "--children", "--", "true"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, "--children is for -p" in done.stderr) == (2, True)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_threads_and_processes_have_one_name(tmp_path: Path, method: str) -> None:
    with master(tmp_path, method) as (first, workers, _):
        found = attached(tmp_path, first, "--children")
    processes = {row["pid"]: Path(row["name"]).name for row in found["processes"]}
    threads = {row["tid"]: row["name"] for row in found["threads"]}
    assert all(processes[worker] == threads[worker] for worker in workers)
