"""A benchmark as JSON, JSON lines, CSV and SQL; all but JSON hold just the tests that llama-bench has too."""

from __future__ import annotations

import csv
import io
from typing import Any

from llamactl.bench.compare import per_token, workers_per_token
from llamactl.bench.report import BenchReport, Result
from llamactl.bench.store import SCHEMA_VERSION
from llamactl.render.bench.row import COLUMNS, row, samples_ts, times
from llamactl.render.document import document, dumps, plain


def json_document(report: BenchReport) -> str:
    """Return the document with everything: schema ``bench``."""
    value = document("bench", SCHEMA_VERSION, report)
    for shown, result in zip(value["results"], report.results, strict=True):
        shown["name"] = result.test.name
        shown.update(times(result))
        shown["per_token"] = per_token(result)
        shown["workers_per_token"] = workers_per_token(result)
    return dumps(value) + "\n"


def json_lines(report: BenchReport) -> str:
    """Return a line for each result: llama-bench's fields first, then samples, counters and memory."""
    shared = [result for result in report.results if result.test.is_llama_bench]
    return "".join(dumps(_line(report, result), indent=None) + "\n" for result in shared)


def _line(report: BenchReport, result: Result) -> dict[str, Any]:
    more = {
        "samples_ns": [sample.ns for sample in result.samples],
        "samples_ts": samples_ts(result),
        "name": result.test.name,
        "counters": [sample.counters for sample in result.samples],
        "workers_per_token": workers_per_token(result),
        "crossings": result.crossings,
        "memory": plain(result.memory),
        "machine": result.machine,
        "warnings": list(result.warnings),
    }
    return {
        "schema": "llamactl.bench.result",
        "schema_version": SCHEMA_VERSION,
        **row(report, result),
        **more,
    }


def llama_bench_rows(report: BenchReport) -> list[dict[str, Any]]:
    """Return the rows of the tests that llama-bench has too."""
    return [row(report, result) for result in report.results if result.test.is_llama_bench]


def csv_text(report: BenchReport) -> str:
    """Return llama-bench's CSV: every value in quotes."""
    out = io.StringIO()
    out.write(",".join(COLUMNS) + "\n")
    writer = csv.DictWriter(out, list(COLUMNS), quoting=csv.QUOTE_ALL, lineterminator="\n")
    for one in llama_bench_rows(report):
        writer.writerow(
            {name: int(value) if isinstance(value, bool) else value for name, value in one.items()}
        )
    return out.getvalue()


CREATE = "CREATE TABLE IF NOT EXISTS llama_bench (\n{}\n);\n".format(
    ",\n".join(f"  {name} {kind}" for name, kind in COLUMNS.items())
)


def sql(report: BenchReport) -> str:
    """Return llama-bench's SQL: the table, and an INSERT for each row."""
    lines = [CREATE]
    for one in llama_bench_rows(report):
        values = ", ".join(_quoted(value) for value in one.values())
        # A script for a person to run; every value in it is quoted.
        lines.append(f"INSERT INTO llama_bench ({', '.join(one)}) VALUES ({values});\n")  # noqa: S608
    return "\n".join(lines)


def _quoted(value: object) -> str:
    """Return an SQL literal; NUL ends a statement in SQLite and is left out."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float)):
        return repr(value)
    return "'{}'".format(str(value).replace("\x00", "").replace("'", "''"))
