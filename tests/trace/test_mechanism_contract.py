"""A mechanism is one file and one line: it is in every output, and render/ decides nothing about it."""

from __future__ import annotations

import ast
import csv
import io
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from programs.made_up_mechanism import Asking, AskingFacts

import llamactl
from llamactl.render.document import shown_fields
from llamactl.render.trace.csv import report_csv
from llamactl.render.trace.json import report_json
from llamactl.render.trace.markdown import report_markdown
from llamactl.render.trace.report import report_text
from llamactl.render.trace.schema import trace_schema
from llamactl.render.trace.sqlite import write_sqlite
from llamactl.render.trace.table_names import table_names
from llamactl.render.trace.tables import chosen_tables, tables
from llamactl.snapshot.process.findings import Finding as Found
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.events import read_events
from llamactl.trace.mechanisms.registry import MECHANISMS
from llamactl.trace.mechanisms.report import TraceReport, analyse

RENDER = Path(llamactl.__file__).parent / "render" / "trace"
VERDICTS = {"ok", "UNKNOWN", "READS", "HELD", "MIXED", "LOST", "COPIED", "STALE", "STARVED", "THROTTLED", "CROWDED",
            "STANDS", "REFUSED", "FAILS", "RECOMPUTED", "LEFT BEHIND"}  # fmt: skip


@pytest.fixture
def capture(build: Any) -> Capture:
    def fill(out: Any) -> None:
        for step in range(3):
            out.call("getpid", step * 100, took_us=20 + step, ret=1000)
        out.call("getpid", 500, took_us=5, ret=1000, tid=1001)

    made: Capture = build(fill)
    return made


@pytest.fixture
def made_up() -> Iterator[None]:
    """The one line."""
    MECHANISMS.append(Asking)
    yield
    MECHANISMS.remove(Asking)


@pytest.fixture
def report(capture: Capture, made_up: None) -> TraceReport:
    return analyse(capture)


def test_its_facts_are_drawn(report: TraceReport) -> None:
    found = report.of(AskingFacts)
    assert [(row.name, row.count, row.longest_ns) for row in found.asking] == [
        ("1000", 3, 22000),
        ("1001", 1, 5000),
    ]
    assert found.asked_in_all == 4


def test_it_is_a_row_of_the_report_with_units_and_a_finding(report: TraceReport) -> None:
    text = report_text(report, chosen_tables("asking"), explain=True)
    row = next(line for line in text.splitlines() if line.startswith(" Asking"))
    assert row.endswith("FORGETFUL")
    assert "asked: 68 µs" in text
    assert "A process may forget who it is." in text
    assert "Asked often: asked in all 4, tids 2." in text
    table = text[text.index("Who asked for its number") :].splitlines()
    assert table[1].split() == ["name", "count", "longest", "answer"]
    assert table[2].split() == ["1000", "3", "22", "µs", "unknown"]


def test_it_is_in_json_and_follows_the_schema_that_is_made_from_it(report: TraceReport) -> None:
    document = json.loads(report_json(report))
    jsonschema.validate(document, trace_schema())
    assert document["asking"][0] == {"name": "1000", "count": 3, "longest_ns": 22000, "answer_bytes": None}
    assert document["asked_ns"] == 68000
    (row,) = (one for one in document["mechanisms"] if one["name"] == "Asking")
    assert (row["verdict"], row["facts"]) == ("FORGETFUL", ["asking", "asked_in_all", "asked_ns"])
    (finding,) = (one for one in document["findings"] if one["code"] == "asked-often")
    assert (finding["figures"], finding["cost_ns"]) == ({"asked_in_all": 4, "tids": 2}, 68000)


def test_the_schema_says_of_its_fields_what_the_dataclass_says(made_up: None) -> None:
    schema = trace_schema()
    assert schema["properties"]["asking"]["title"] == "Who asked for its number"
    assert (
        schema["$defs"]["AskingRow"]["properties"]["longest_ns"]["description"] == "The longest of its calls."
    )
    assert schema["$defs"]["AskingRow"]["properties"]["answer_bytes"]["type"] == ["integer", "null"]


def test_it_is_a_table_of_csv_markdown_and_show(report: TraceReport) -> None:
    chosen = chosen_tables("asking")
    rows = list(csv.DictReader(io.StringIO(report_csv(report, chosen))))
    assert rows[0] == {"name": "1000", "count": "3", "longest_ns": "22000", "answer_bytes": ""}
    page = report_markdown(report, chosen)
    assert "| Asking" in page
    assert "### Who asked for its number" in page
    assert "asking" in {table.name for table in chosen_tables("all")}


def test_it_is_a_table_of_sqlite(report: TraceReport, capture: Capture, tmp_path: Path) -> None:
    path = tmp_path / "report.db"
    with path.open("wb") as sink:
        write_sqlite(sink, read_events(capture), report)
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, count, longest_ns, answer_bytes FROM asking").fetchall()
        (verdict,) = database.execute("SELECT verdict FROM mechanisms WHERE name = 'Asking'").fetchone()
    assert rows == [("1000", 3, 22000, None), ("1001", 1, 5000, None)]
    assert verdict == "FORGETFUL"


def test_the_help_of_show_takes_it_from_the_schema(made_up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamactl.render.trace.table_names.schema", lambda _: trace_schema())
    assert "asking" in table_names()


def test_every_table_is_in_the_help_and_in_the_shipped_schema() -> None:
    assert table_names() == [table.name for table in tables()]


def test_the_shipped_schema_is_the_one_that_the_facts_make() -> None:
    shipped = RENDER.parent / "schemas" / "trace.schema.json"
    assert json.loads(shipped.read_text(encoding="utf-8")) == trace_schema()


def test_no_two_mechanisms_share_a_name_or_a_fact() -> None:
    names = Counter(mechanism.name for mechanism in MECHANISMS)
    facts = Counter(item.name for mechanism in MECHANISMS for item in fields(mechanism.facts))
    assert [name for name, count in (names + facts).items() if names[name] > 1 or facts[name] > 1] == []


def test_every_row_of_a_table_has_a_name_and_a_count() -> None:
    for table in tables():
        assert {"name", "count"} <= set(shown_fields(table.row)), table.name
        known = {*shown_fields(table.row), *vars(table.row)}
        assert {column.field for column in table.columns} <= known, table.name


def test_a_mechanism_with_a_row_explains_itself() -> None:
    for mechanism in MECHANISMS:
        assert bool(mechanism.title) == bool(mechanism.explanation), mechanism.name


def sources() -> list[Path]:
    return sorted(RENDER.rglob("*.py"))


def test_no_verdict_is_given_in_render() -> None:
    for path in sources():
        if path.name == "row.py":  # What each verdict is called.
            continue
        found = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
                 and isinstance(node.value, str)}  # fmt: skip
        assert not found & VERDICTS, path


FORMATS = {"trace/text.py", "trace/chrome_trace.py", "render/units.py", "bench/table.py"}
"""Where a number decides how a figure is written, or how many points a picture has."""


def thresholds(path: Path) -> list[str]:
    """Comparisons of a fact with a number that isn't 0 or 1, or with a constant of that name."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        ordered = any(isinstance(operator, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for operator in node.ops)
        for side in sides:
            number = (
                isinstance(side, ast.Constant)
                and isinstance(side.value, (int, float))
                and side.value not in {0, 1}
            )
            named = isinstance(side, ast.Name) and side.id.isupper()
            lengths = any(
                isinstance(other, ast.Call) and getattr(other.func, "id", "") == "len" for other in sides
            )
            if ordered and (number or named) and not lengths:
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    return found


def test_no_threshold_is_in_render() -> None:
    every = sorted(RENDER.parent.rglob("*.py"))
    decided = [path for path in every if f"{path.parent.name}/{path.name}" not in FORMATS]
    assert [line for path in decided for line in thresholds(path)] == []


def test_a_finding_has_the_same_keys_in_a_trace_and_in_an_inspection(report: TraceReport) -> None:
    finding = json.loads(report_json(report))["findings"][0]
    path = RENDER.parent / "schemas" / "inspect.schema.json"
    shipped = json.loads(path.read_text(encoding="utf-8"))["$defs"]["Finding"]
    assert set(finding) == set(shipped["required"]) == set(shipped["properties"])
    assert set(finding) == {item.name for item in fields(Found)}
