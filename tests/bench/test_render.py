from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llamactl.bench import store
from llamactl.bench.compare import compare
from llamactl.bench.gate import judge, parse
from llamactl.bench.report import BenchReport
from llamactl.errors import UsageError
from llamactl.render.bench import ci as bench_ci
from llamactl.render.bench import compare as bench_compare
from llamactl.render.bench import files as bench_files
from llamactl.render.bench import plot as bench_plot
from llamactl.render.bench import table as bench_table
from llamactl.render.bench.history import History
from llamactl.render.bench.row import COLUMNS
from llamactl.render.document import schema

Make = Callable[..., BenchReport]
TIMES = {"tg16": [100_000_000 + i for i in range(8)], "pp64": [50_000_000]}


@pytest.fixture
def report(report_of: Make) -> BenchReport:
    return report_of(TIMES, counters={"minor_faults": 5, "cycles": None})


def checked(text: str, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator(schema(name)).validate(value)
    return value


def test_json_follows_its_schema(report: BenchReport) -> None:
    value = checked(bench_files.json_document(report), "bench")
    assert value["results"][0]["name"] == "tg16"
    assert value["results"][0]["avg_ts"] == pytest.approx(160, rel=1e-6)
    assert value["results"][0]["per_token"]["minor_faults"] == 5 / 16
    assert value["results"][0]["per_token"]["cycles"] is None


def test_a_comparison_follows_its_schema(report: BenchReport) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    found = compare(report, report)
    verdicts = judge(parse(["minor_faults > 1.1"], ["tg16"]), found)
    value = checked(bench_compare.comparison_document(found, verdicts), "bench-compare")
    assert value["tests"][0]["speed"] == 1
    assert value["verdicts"][0]["failed"] is False


def test_csv_and_sql_hold_the_same_rows(report: BenchReport) -> None:
    rows = list(csv.DictReader(io.StringIO(bench_files.csv_text(report))))
    database = sqlite3.connect(":memory:")
    database.executescript(bench_files.sql(report))
    stored = database.execute("SELECT n_gen, n_prompt, avg_ns FROM llama_bench").fetchall()
    assert [(int(row["n_gen"]), int(row["n_prompt"]), int(row["avg_ns"])) for row in rows] == stored
    assert list(rows[0]) == list(COLUMNS)


def test_json_lines_hold_llama_benchs_fields_and_more(report: BenchReport) -> None:
    lines = [json.loads(line) for line in bench_files.json_lines(report).splitlines()]
    assert [set(COLUMNS) <= set(line) for line in lines] == [True, True]
    assert len(lines[0]["samples_ns"]) == 8


def test_names_that_try_to_break_out_stay_inside(report: BenchReport) -> None:
    evil = "a' ); DROP TABLE x; --\x1b[31m|\n"
    models = (replace(report.models[0], type=evil),)
    bad = replace(report, models=models, environment=replace(report.environment, cpu_info=evil))
    database = sqlite3.connect(":memory:")
    database.executescript(bench_files.sql(bad))
    assert database.execute("SELECT DISTINCT model_type FROM llama_bench").fetchall() == [(evil,)]
    table = bench_table.markdown(bad)
    assert "\x1b" not in table
    assert table.count("\n") == bench_table.markdown(report).count("\n")


def test_a_history_keeps_runs_and_replaces_what_grows(report: BenchReport, tmp_path: Path) -> None:
    file = tmp_path / "h.sqlite"
    first = History(file)
    first.save(replace(report, results=report.results[:1], complete=False))
    first.save(report)
    History(file).save(replace(report, warnings=("second",)))
    assert store.load(f"{file}#1") == report
    assert store.load(str(file)).warnings == ("second",)
    assert [one.warnings for one in store.last_two(str(file))] == [(), ("second",)]
    rows = sqlite3.connect(file).execute("SELECT count(*) FROM llama_bench").fetchone()
    assert rows == (4,)
    with pytest.raises(UsageError, match="no run 9"):
        store.load(f"{file}#9")


def test_github_action_benchmark(report: BenchReport) -> None:
    first = json.loads(bench_ci.github_action_benchmark(report))[0]
    assert (first["name"], first["unit"], round(first["value"])) == ("tg16", "tokens/s", 160)
    assert "minor_faults: 5" in first["extra"]


def test_bencher(report: BenchReport) -> None:
    value = json.loads(bench_ci.bencher(report))
    assert value["tg16"]["throughput"]["lower_value"] <= value["tg16"]["throughput"]["value"]
    assert value["tg16"]["minor-faults"] == {"value": 5.0}


def test_a_sweep_keeps_its_tests_apart(report: BenchReport) -> None:
    more = [replace(one, setup=replace(one.setup, n_threads=8)) for one in report.results]
    both = replace(report, results=(*report.results, *more))
    count = len(both.results)
    assert len(json.loads(bench_ci.bencher(both))) == count
    names = [one["name"] for one in json.loads(bench_ci.github_action_benchmark(both))]
    assert len(set(names)) == count and "tg16 [n_threads=8]" in names
    assert "tg16 [n_threads=8]" in bench_table.details(both)


def test_the_job_summary_begins_with_verdicts(report: BenchReport) -> None:
    pytest.importorskip("scipy", reason="comparing needs SciPy")
    found = compare(report, report)
    text = bench_ci.summary(report, found, judge(parse(["minor_faults > 1.1"], ["tg16"]), found))
    assert text.index("passed: minor_faults > 1.1") < text.index("| test")


def test_table_units() -> None:
    shown = bench_table.shown_counter
    assert shown("cpu_ns", 1.5e6) == "1.50 ms"
    assert shown("kv_bytes", 2048) == "2.00 KiB"
    assert shown("minor_faults", None) == "–"
    assert shown("crossings", 2) == "2.00"


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plots(report: BenchReport, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    file = tmp_path / f"p{suffix}"
    bench_plot.plot(report, str(file))
    head = file.read_bytes()[:300]
    assert head.startswith(b"\x89PNG") or b"<svg" in file.read_bytes()


def test_an_unknown_plot_is_refused() -> None:
    with pytest.raises(UsageError):
        bench_plot.check("x.gif")
