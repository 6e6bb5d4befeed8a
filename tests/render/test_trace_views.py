"""The faces of a trace, from the committed capture."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import jsonschema
import numpy as np
import pytest

from llamactl.errors import UsageError
from llamactl.output.file import OutputText
from llamactl.render.trace.chrome_trace import PHASE_TRACK, chrome_trace
from llamactl.render.trace.csv import report_csv
from llamactl.render.trace.folded import folded_lines
from llamactl.render.trace.formats import FORMATS, format_of
from llamactl.render.trace.json import report_json
from llamactl.render.trace.jsonl import jsonl_lines
from llamactl.render.trace.log import log_lines
from llamactl.render.trace.markdown import report_markdown
from llamactl.render.trace.report import report_text
from llamactl.render.trace.sqlite import write_sqlite
from llamactl.render.trace.tables import chosen_tables, tables
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import RECORD, Kind, Sched
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.mechanisms.events import derived_phases, read_events
from llamactl.trace.mechanisms.report import TraceReport, analyse

TESTS = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = Path(__file__).parents[2] / "llamactl" / "render" / "schemas"
# LLAMACTL_GOLDEN=write renews the screens; look at the difference before it is committed.
RENEW = os.environ.get("LLAMACTL_GOLDEN") == "write"


@pytest.fixture(scope="module")
def capture() -> Capture:
    return Capture.open(TESTS / "captures" / "load.capture")


@pytest.fixture(scope="module")
def report(capture: Capture) -> TraceReport:
    return analyse(capture)


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if RENEW:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_report_screen(report: TraceReport) -> None:
    check_golden("report.txt", report_text(report))


def test_explained_screen(report: TraceReport) -> None:
    check_golden("explain.txt", report_text(report, explain=True))


def test_tables_screen(report: TraceReport) -> None:
    check_golden("tables.txt", report_text(report, tables()))


def test_log_screen(capture: Capture, report: TraceReport) -> None:
    check_golden("log.txt", "\n".join(log_lines(read_events(capture), report.begin_ns)) + "\n")


def test_markdown_screen(report: TraceReport) -> None:
    check_golden("report.md", report_markdown(report, []))


def test_screens_are_at_most_80_columns(report: TraceReport) -> None:
    text = report_text(report, tables(), explain=True)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_names_of_others_can_t_disturb_the_terminal(capture: Capture, report: TraceReport) -> None:
    """A thread of the capture has an escape sequence in its name."""
    text = report_text(report, tables()) + "\n".join(log_lines(read_events(capture), report.begin_ns))
    assert "worker\\x1b[31m" in text
    assert "\x1b" not in text


def test_what_the_engine_can_t_see_is_said(report: TraceReport) -> None:
    metadata = {
        "reasons": ["perf is refused: give CAP_PERFMON"],
        "blind": ["page faults"],
        "notes": ["\x1b[2J"],
    }
    text = report_text(replace(report, metadata=metadata))
    assert text.endswith("perf is refused: give CAP_PERFMON\nLimit: page faults\nNote: \\x1b[2J\n")


def test_a_trace_that_was_ended_says_by_what(report: TraceReport) -> None:
    ended = replace(report, cost=replace(report.cost, complete=False), metadata={"ended": "limit"})
    assert "INCOMPLETE: ended by --limit" in report_text(ended)


def test_json_follows_its_schema(report: TraceReport) -> None:
    document = json.loads(report_json(report))
    schema = json.loads((SCHEMAS / "trace.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    for table in tables():
        assert all({"name", "count"} <= set(row) for row in document[table.name]), table.name


def test_csv_has_one_table(report: TraceReport) -> None:
    rows = list(csv.DictReader(io.StringIO(report_csv(report, []))))
    assert {row["name"]: int(row["count"]) for row in rows}["futex"] == 10
    with pytest.raises(UsageError, match="shows one table"):
        report_csv(report, chosen_tables("calls,files"))


def test_every_format_renders(report: TraceReport) -> None:
    for name, make in FORMATS.items():
        assert make(report, chosen_tables("files")), name


def test_the_suffix_chooses_the_format() -> None:
    assert format_of(None, Path("a.json")) == "json"
    assert format_of(None, Path("a.md")) == "markdown"
    assert format_of(None, Path("a.txt")) == "table"
    assert format_of("csv", Path("a.json")) == "csv"
    with pytest.raises(UsageError, match="yaml"):
        format_of("yaml", None)


def test_unknown_tables_are_told() -> None:
    with pytest.raises(UsageError, match="no such table"):
        chosen_tables("calls,nothing")


def test_jsonl_has_every_event(capture: Capture) -> None:
    schema = json.loads((SCHEMAS / "trace_event.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    events = [json.loads(line) for line in jsonl_lines(read_events(capture))]
    assert len(events) == capture.count
    for event in events:
        validator.validate(event)
    opened = next(event for event in events if event["name"] == "openat")
    assert opened["args"] == {
        "dirfd": "AT_FDCWD",
        "pathname": "/lib/libc.so.6",
        "flags": ["O_RDONLY", "O_CLOEXEC"],
    }
    assert opened["result"] == {"fd": 3, "path": "/lib/libc.so.6"}
    last = next(event for event in events if event["name"] == "exit_group")
    assert (last["result"], last["duration_ns"]) == (None, None)


def check_nesting(document: dict[str, Any]) -> int:
    """Check that two slices of one track are apart or one inside the other; return how many tracks there are."""
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for item in document["traceEvents"]:
        if item["ph"] == "X":
            begin = round(item["ts"] * 1000)
            tracks.setdefault((item["pid"], item["tid"]), []).append(
                (begin, begin + round(item["dur"] * 1000))
            )
    for slices in tracks.values():
        stack: list[int] = []
        for begin, end in sorted(slices, key=lambda pair: (pair[0], -pair[1])):
            while stack and stack[-1] <= begin:
                stack.pop()
            assert not stack or end <= stack[-1]
            stack.append(end)
    return len(tracks)


def chrome(capture: Capture, report: TraceReport) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        "".join(chrome_trace(read_events(capture), report, derived_phases(capture)))
    )
    return document


def test_slices_of_a_thread_nest(capture: Capture, report: TraceReport) -> None:
    assert check_nesting(chrome(capture, report)) == 4


def test_the_gil_is_beside_the_calls(tmp_path: Path) -> None:
    """Python lets the GIL go before the call and takes it back inside it: the two cross."""
    path = tmp_path / "gil.capture"
    writer = CaptureWriter(path)
    writer.metadata({"functions": ["llama_decode"]})
    records = np.zeros(3, RECORD)
    records["kind"] = [Kind.GIL, Kind.CALL, Kind.GIL]
    records["pid"] = records["tid"] = 7
    records["start"], records["duration"] = [1000, 2000, 9500], [3000, 8000, 1000]
    writer.records(records)
    writer.close()
    crossing = Capture.open(path)
    document = chrome(crossing, analyse(crossing))
    assert check_nesting(document) == 1
    assert [item["ph"] for item in document["traceEvents"] if item.get("cat") == "gil"] == [
        "b",
        "e",
        "b",
        "e",
    ]


def test_chrome_trace_has_names_phases_and_counters(capture: Capture, report: TraceReport) -> None:
    document = chrome(capture, report)
    items = document["traceEvents"]
    named = {
        (item["tid"], item["args"]["name"])
        for item in items
        if item["ph"] == "M" and item["name"] == "thread_name"
    }
    assert (PHASE_TRACK, "phases") in named
    assert PHASE_TRACK >= 1 << 22  # No thread's number; Perfetto takes 0 for the main thread's track.
    phases = [item for item in items if item.get("cat") == "phase"]
    assert [item["name"] for item in phases].count("decode") == 3
    assert phases[0]["ts"] == 2000
    counters = {item["name"] for item in items if item["ph"] == "C"}
    assert {"rss_bytes", "read_bytes", "page faults", "bytes read"} <= counters
    assert all(item["ts"] >= 0 for item in items if "ts" in item)
    assert document["otherData"]["complete"] is True


def test_counters_lie_under_the_process_that_they_are_of(tmp_path: Path) -> None:
    """The first record is of llamactl itself, which tells what it hands on; two processes read and fault."""
    path, ours, program, child = tmp_path / "c", 10, 20, 30
    writer = CaptureWriter(path)
    writer.metadata({"pid": program, "counters": ["rss_bytes"]})
    records = np.zeros(6, RECORD)
    records["kind"] = [Kind.FD, Kind.COUNTER, Kind.FAULT, Kind.FAULT, Kind.SYSCALL, Kind.FAULT]
    records["pid"] = records["tid"] = [ours, program, program, child, child, child]
    records["start"], records["ret"] = range(1000, 1006), [0, 7, 0, 0, 300, 0]
    writer.records(records)
    writer.close()
    capture = Capture.open(path)
    last = {
        (item["pid"], item["name"]): item["args"]["value"]
        for item in chrome(capture, analyse(capture))["traceEvents"]
        if item["ph"] == "C"
    }
    assert last == {
        (program, "rss_bytes"): 7,
        (program, "page faults"): 1,
        (child, "page faults"): 2,
        (child, "bytes read"): 300,
    }


def test_each_kind_of_record_is_an_event_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "c"
    writer = CaptureWriter(path)
    kinds = [(kind, 0) for kind in Kind] + [(Kind.SCHED, nr) for nr in Sched]
    records = np.zeros(len(kinds), RECORD)
    records["kind"], records["nr"] = zip(*kinds, strict=True)
    records["args"][:, 3] = ord("D") | (1 << 8)
    records["text"] = writer.add_string(b"/sys/fs/cgroup/x")
    writer.records(records)
    writer.close()
    schema = json.loads((SCHEMAS / "trace_event.schema.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in jsonl_lines(read_events(Capture.open(path)))]
    assert {line["kind"] for line in lines} == {kind.name.lower() for kind in Kind}
    for line in lines:
        jsonschema.validate(line, schema)
    assert [line["name"] for line in lines if line["kind"] == "sched"] == [
        "thread", "thread", "group", "affinity", "machine", "collector", "neighbour",
    ]  # fmt: skip
    assert [line["name"] for line in lines].count("lost") == 1
    assert next(line for line in lines if line["name"] == "group")["directory"] == "/sys/fs/cgroup/x"


def test_sqlite_and_markdown_have_what_json_has(
    capture: Capture, report: TraceReport, tmp_path: Path
) -> None:
    path = tmp_path / "trace.db"
    with path.open("wb") as file:
        write_sqlite(file, read_events(capture), report)
    document = json.loads(report_json(report))
    with closing(sqlite3.connect(path)) as database:
        written = {
            name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        facts = dict(database.execute("SELECT key, value FROM facts"))
        assert written | set(facts) >= set(document)
        assert {table.name for table in tables()} | {"findings", "mechanisms", "slow_tokens"} <= written
        for name in written - {"events", "facts", "metadata"}:
            (count,) = database.execute(f"SELECT count(*) FROM {name}").fetchone()
            assert count == len(document[name])
        (verdict,) = database.execute("SELECT verdict FROM mechanisms WHERE name = 'Files'").fetchone()
        (text,) = database.execute("SELECT text FROM findings").fetchone()
    assert verdict == "LEFT BEHIND"
    assert text == document["findings"][0]["text"]
    shown = report_markdown(report, [])
    assert all(row["verdict"] in shown for row in document["mechanisms"])
    assert text in shown.replace("\\", "")


def test_folded_stacks_add_up(capture: Capture, report: TraceReport) -> None:
    lines = list(folded_lines(read_events(capture), report))
    total = sum(int(line.rpartition(" ")[2]) for line in lines)
    assert total == sum(row.total_ns or 0 for row in report.calls)
    assert lines[0].startswith("python;compute worker\\x1b[31m;decode;futex ")
    assert all(line.count(";") >= 3 for line in lines)


def test_sqlite_answers(capture: Capture, report: TraceReport, tmp_path: Path) -> None:
    path = tmp_path / "trace.db"
    with OutputText(str(path)) as output:
        write_sqlite(cast("IO[bytes]", output.stream.buffer), read_events(capture), report, tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
        assert count == capture.count
        rows = database.execute(
            "SELECT path, error FROM events WHERE error IS NOT NULL ORDER BY id"
        ).fetchall()
        assert rows == [("/etc/app.conf", "ENOENT"), ("socket:", "ECONNREFUSED")]
        (flags,) = database.execute(
            "SELECT json_extract(facts, '$.flags[1]') FROM events WHERE path = '/tmp/left.bin' LIMIT 1"
        ).fetchone()
        assert flags == "O_CREAT"
        (calls,) = database.execute("SELECT count FROM calls WHERE name = 'futex'").fetchone()
        assert calls == 10
