"""``bench compare`` reads what llama-bench wrote; what is measured is the same with and without a check."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY, Run

gguf = pytest.importorskip("gguf")
from model_kinds import model_of  # noqa: E402

from llamactl.bench.store import load  # noqa: E402
from llamactl.engine.library import directory  # noqa: E402
from llamactl.errors import UsageError  # noqa: E402

ROW: dict[str, Any] = {
    "build_commit": "abc", "build_number": 7, "cpu_info": "A CPU", "gpu_info": "", "backends": "CPU",
    "model_filename": "m.gguf", "model_type": "llama", "model_size": 1000, "model_n_params": 500, "n_batch": 2048,
    "n_ubatch": 512, "n_threads": 2, "cpu_mask": "0x0", "cpu_strict": False, "poll": 50, "type_k": "f16",
    "type_v": "f16", "n_gpu_layers": -1, "n_cpu_moe": 0, "split_mode": "layer", "main_gpu": 0,
    "no_kv_offload": False, "flash_attn": -1, "load_mode": "auto", "embeddings": False, "n_prompt": 16, "n_gen": 0,
    "n_depth": 0, "test_time": "2026-01-01T00:00:00Z", "avg_ns": 200, "stddev_ns": 10, "avg_ts": 1.0,
    "stddev_ts": 0.1,
}  # fmt: skip
SAMPLES = [190, 200, 210]


def tg(**more: Any) -> dict[str, Any]:
    """Return a second result."""
    return {**ROW, "n_prompt": 0, "n_gen": 4, **more}


def as_json(path: Path) -> None:
    path.write_text(json.dumps([{**ROW, "samples_ns": SAMPLES}, tg(samples_ns=SAMPLES)], indent=2))


def as_jsonl(path: Path) -> None:
    rows = [{**ROW, "samples_ns": SAMPLES}, tg(samples_ns=SAMPLES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_csv(path: Path) -> None:
    lines = [
        ",".join(f'"{int(v) if isinstance(v, bool) else v}"' for v in row.values()) for row in (ROW, tg())
    ]
    path.write_text("\n".join([",".join(ROW), *lines]) + "\n")


def as_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE llama_bench ({', '.join(ROW)})")
        for row in ({**ROW, "avg_ns": 900, "test_time": "2025"}, ROW, tg()):
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO llama_bench VALUES ({marks})", list(row.values()))
    connection.close()


@pytest.mark.parametrize("write", [as_json, as_jsonl, as_csv, as_sqlite])
def test_every_format_is_read(write: Any, tmp_path: Path, llamactl: Run) -> None:
    """CSV and SQLite hold the mean alone; of a database the last result of each test counts."""
    path = tmp_path / "results"
    write(path)
    report = load(str(path))
    assert [result.test.name for result in report.results] == ["pp16", "tg4"]
    times = [[sample.ns for sample in result.samples] for result in report.results]
    assert times == [SAMPLES if write in (as_json, as_jsonl) else [200]] * 2
    assert report.results[0].setup.flash_attn == "auto"
    assert report.environment.build_commit == "abc"
    done = llamactl("bench", "compare", str(path), str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "pp16" in done.stdout and "1.000" in done.stdout


@pytest.mark.parametrize(
    "change",
    [
        {"n_prompt": "many"}, {"samples_ns": []}, {"samples_ns": "abc"}, {"samples_ns": [0]}, {"n_prompt": 0},
        {"n_batch": 1e400}, {"embeddings": "yes"}, {"samples_ns": [float(2**70)]},
    ],
)  # fmt: skip
def test_damaged_results_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{**ROW, "samples_ns": SAMPLES, **change}]))
    with pytest.raises(UsageError):
        load(str(path))


def test_its_sql_becomes_a_database_first(tmp_path: Path) -> None:
    path = tmp_path / "results.sql"
    path.write_text("CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT\n);\n")
    with pytest.raises(UsageError, match=r"sqlite3 FILE\.sqlite <"):
        load(str(path))


def test_the_programs_own_output_beside_ours(tmp_path: Path, llamactl: Run) -> None:
    found = sorted(REPOSITORY.glob("build/*/peers/bench/llama-bench"))
    if not found:
        pytest.skip("llama-bench isn't built: run make peers")
    options = ["-m", model_of("llama", tmp_path), "-p", "16", "-n", "4", "-r", "2", "-t", "1"]
    theirs = subprocess.run(
        [found[0], *options, "-o", "json"], env={"LD_LIBRARY_PATH": str(directory())}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    base, ours = tmp_path / "base.json", tmp_path / "ours.json"
    base.write_text(theirs.stdout)
    assert llamactl("bench", *options, "-q", "--save", str(ours)).returncode == 0
    done = llamactl("bench", "compare", str(base), str(ours), "--json")
    assert done.returncode == 0, done.stderr
    tests = json.loads(done.stdout)["tests"]
    assert [one["name"] for one in tests] == ["pp16", "tg4"]


def test_what_checks_is_not_in_what_is_measured(tmp_path: Path, llamactl: Run) -> None:
    """SciPy and matplotlib are loaded when all is measured: memory is the same with and without a check."""
    pytest.importorskip("scipy")
    base, again = tmp_path / "base.json", tmp_path / "again.json"
    measure = ["bench", "-m", model_of("llama", tmp_path), "-p", "16", "-n", "4", "-r", "3", "-t", "1", "-q"]
    assert llamactl(*measure, "--save", str(base)).returncode == 0
    more = ["--plot", str(tmp_path / "a.svg")] if shutil.which("matplotlib") else []
    done = llamactl(
        *measure, "--baseline", str(base), "--save", str(again), "--fail-if", "private_bytes > 1.1",
        "--fail-if", "peak_resident_bytes > 1.1", *more,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    memory = [json.loads(path.read_text())["results"][0]["memory"]["private_bytes"] for path in (base, again)]
    assert memory[1] < 1.1 * memory[0]


def test_a_cold_load_of_what_stays_in_memory_is_a_warning(tmp_path: Path, llamactl: Run) -> None:
    """A file that another process has locked into memory, or that lies in memory, can't be dropped."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        pytest.skip("there is no /dev/shm")
    folder = shared / f"llamactl-cold-{tmp_path.name}-{id(tmp_path)}"
    folder.mkdir()
    try:
        saved = tmp_path / "r.json"
        options = ["-m", model_of("llama", folder), "-p", "0", "-n", "2", "-r", "2", "-t", "1"]
        done = llamactl("bench", *options, "--load", "cold,warm", "--save", str(saved))
        assert done.returncode == 0, done.stderr
        assert "load-cold isn't measured" in done.stderr and "load-cold" not in done.stdout
        report = json.loads(saved.read_text())
        assert [one["test"]["cache"] for one in report["results"]] == ["", "warm"]
        assert report["complete"] is True
    finally:
        shutil.rmtree(folder)
