"""llama.cpp's own script compares what we store: two commits in one file of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import REPOSITORY

from llamactl.bench import store
from llamactl.bench.report import BenchReport
from llamactl.render.bench.files import csv_text, json_lines
from llamactl.render.bench.history import History

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BASE, NEW = "0c1e57098", "abcdef012"


@pytest.fixture(scope="session")
def script() -> Path:
    """The script as it came with the engine's sources."""
    pytest.importorskip("git", reason="the script needs gitpython")
    found = sorted((REPOSITORY / "build").glob("*/_deps/engine-src/**/scripts/compare-llama-bench.py"))
    return found[0] if found else pytest.skip("the engine's sources aren't in build/")


@pytest.fixture(scope="session")
def measured(bench: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchReport, BenchReport]:
    """Two real runs; the second says that it is of another commit and twice as fast."""
    saved = tmp_path_factory.mktemp("measured") / "r.json"
    done = bench("-p", "8", "-n", "4", "-pg", "8,2", "-d", "0,8", "-r", "2", "-q", "--save", str(saved))
    assert done.returncode == 0, done.stderr
    base = store.load(str(saved))
    value = json.loads(saved.read_text(encoding="utf-8"))
    value["environment"]["build_commit"] = NEW
    for result in value["results"]:
        for sample in result["samples"]:
            sample["ns"] //= 2
    return base, store.from_document(value, "new")


def write_sqlite(file: Path, reports: tuple[BenchReport, BenchReport]) -> None:
    for report in reports:
        History(file).save(report)


def write_csv(file: Path, reports: tuple[BenchReport, BenchReport]) -> None:
    first, second = (csv_text(report) for report in reports)
    file.write_text(first + second.partition("\n")[2], encoding="utf-8")


def write_jsonl(file: Path, reports: tuple[BenchReport, BenchReport]) -> None:
    file.write_text("".join(json_lines(report) for report in reports), encoding="utf-8")


WRITERS = {"sqlite": write_sqlite, "csv": write_csv, "jsonl": write_jsonl}


@pytest.mark.parametrize("suffix", list(WRITERS))
def test_the_real_script_reads_ours(
    script: Path, measured: tuple[BenchReport, BenchReport], tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"both.{suffix}"
    WRITERS[suffix](file, measured)
    command = [sys.executable, str(script), "-i", str(file), "-b", BASE, "-c", NEW, "-t", "llama-bench"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    table = {row[-4]: row[-3:] for row in rows[2:]}
    names = [result.test.name.replace(" @ d", "@d") for result in measured[0].results]
    assert sorted(table) == sorted(names)
    # Twice as fast: within what rounding to whole nanoseconds and two digits leaves.
    assert all(1.98 <= float(speedup) <= 2.02 for _, _, speedup in table.values())
