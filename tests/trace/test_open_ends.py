"""What is open when a recording ends is cut there and marked, in every sum, table and export."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llamactl.render.trace.chrome_trace import chrome_trace
from llamactl.render.trace.json import report_object
from llamactl.render.trace.jsonl import jsonl_lines
from llamactl.render.trace.log import log_lines
from llamactl.render.trace.report import report_text
from llamactl.render.trace.sqlite import write_sqlite
from llamactl.render.trace.tables import tables
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind, Task
from llamactl.trace.mechanisms.events import derived_phases, read_events
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
MAIN, WORKER, PYTHON, KILLED = 1000, 1001, 1002, 1003
DECODE, SAMPLE = range(2)
END_US = 1_000_000
OPEN = int(Flag.NO_EXIT)
MS = 1_000_000


def _metadata() -> dict[str, Any]:
    names = {
        "llama_decode": "context:p n_tokens:i tokens:p +",
        "llama_sampler_sample": "sampler:p context:p index:i i",
    }
    table = []
    for name, text in names.items():
        args, kept = parse_keeps(text)
        table.append(
            Function(name, "/p/_ctypes.so", "/l/libllama.so", "dlsym", args, kept, "i").to_metadata()
        )
    return {"functions": list(names), "function_table": table, "ended": "duration"}


def fill(out: Any) -> None:
    """One second: everything that can be open at its end is, and a thread is killed inside a call at 750 ms."""
    out.call("openat", 0, -100, 0, 0, text=b"/data/a.bin", ret=5)
    out.call("epoll_wait", 1000, 3, took_us=99_000)
    for at in (100_000, 200_000):
        out.add(Kind.CALL, at, nr=DECODE, args=(1, 1), duration=80 * MS, flags=Flag.GIL_HELD)
    out.add(Kind.CALL, 300_000, nr=DECODE, args=(1, 1), flags=OPEN | Flag.GIL_HELD)
    out.call("futex", 400_000, 0x2000, 128, 1, tid=WORKER, took_us=0, flags=OPEN)
    out.call("read", 500_000, 5, tid=PYTHON, took_us=0, flags=OPEN)
    out.add(Kind.GIL, 600_000, nr=1, tid=PYTHON, flags=OPEN)
    out.call("write", 650_000, 5, tid=KILLED, took_us=0, flags=OPEN)
    out.add(Kind.CALL, 640_000, nr=DECODE, args=(1, 1), tid=KILLED, flags=OPEN)
    out.add(Kind.TASK, 750_000, nr=Task.EXIT, tid=KILLED, ret=9)
    out.call("getpid", 10, tid=KILLED, took_us=0, flags=OPEN)  # Its end was lost: others followed.
    out.add(Kind.CALL, 620_000, nr=SAMPLE, tid=PYTHON, flags=OPEN | Flag.LEFT)  # Left by an exception.
    out.add(Kind.COUNTER, END_US, nr=0, ret=1)


@pytest.fixture
def capture(build: Build) -> Capture:
    return build(fill, **_metadata())


@pytest.fixture
def report(capture: Capture) -> TraceReport:
    return analyse(capture)


def test_sums_end_with_the_recording_and_are_marked(report: TraceReport) -> None:
    assert report.length_s == 1.0
    calls = {row.name: row for row in report.calls}
    assert (calls["futex"].total_ns, calls["futex"].unfinished) == (600 * MS, 1)
    assert (calls["write"].total_ns, calls["write"].unfinished) == (100 * MS, 1)
    assert (calls["getpid"].total_ns, calls["getpid"].unfinished) == (None, 1)
    functions = {row.name: row for row in report.functions}
    decode = functions["llama_decode"]
    assert (decode.total_ns, decode.max_ns, decode.unfinished) == ((160 + 700 + 110) * MS, 700 * MS, 2)
    assert (functions["llama_sampler_sample"].total_ns, functions["llama_sampler_sample"].unfinished) == (
        None,
        1,
    )
    (futex,) = report.futexes
    assert (futex.waited_ns, futex.unfinished) == (600 * MS, 1)
    phase = next(row for row in report.phases if row.name == "decode")
    assert phase.wall_s == pytest.approx(0.86)
    assert phase.unfinished == 2
    file = next(row for row in report.files if row.name == b"/data/a.bin")
    assert (file.read_ns, file.unfinished) == (500 * MS, 2)
    threads = {row.tid: row for row in report.threads}
    assert (threads[WORKER].blocked_ns, threads[WORKER].unfinished) == (600 * MS, 1)


def test_the_gil_and_the_event_loop(report: TraceReport) -> None:
    assert report.exchange is not None
    gil = report.exchange.gil
    assert (gil.wait_total_ns, gil.wait_max_ns, gil.unfinished_waits) == (400 * MS, 400 * MS, 1)
    held = next(row for row in gil.functions if row.name == "llama_decode")
    assert (held.longest_hold_ns, held.unfinished) == (700 * MS, 1)
    assert (gil.waits[0].unfinished, gil.waits[0].holder_call) == (True, "llama_decode")
    (loop,) = report.blocked_loops
    assert (loop.longest_ns, loop.unfinished) == (900 * MS, True)


def test_no_token_yet(build: Build) -> None:
    def prompt(out: Any) -> None:
        out.call("getpid", 0)
        out.add(Kind.CALL, 100_000, nr=DECODE, args=(1, 500), flags=OPEN)
        out.add(Kind.COUNTER, END_US, nr=0, ret=1)

    report = analyse(build(prompt, **_metadata()))
    assert report.first_token is not None and report.first_token.unfinished
    text = report_text(report)
    assert "No first token within 1.000 s (prefill 0.900" in text
    assert "prefill 900 ms (unfinished)" in text


def test_a_token_that_hangs_is_a_slow_one(report: TraceReport) -> None:
    assert report.exchange is not None and len(report.exchange.tokens) == 2
    (slow,) = report.slow_tokens
    assert (slow.length_ns, slow.median_ns, slow.unfinished) == (700 * MS, 100 * MS, True)
    text = " ".join(report_text(report).split())
    assert "1 of 3 took more than 3 times the median" in text
    assert "token 3: 700 ms, 7.0 times (unfinished)" in text


def _figures(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _figures(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _figures(item, path)
    elif isinstance(value, (int, float)):
        yield path, value


def test_no_figure_is_longer_than_the_recording(report: TraceReport) -> None:
    document = report_object(report)
    del document["metadata"]
    threads = len(report.threads)
    for path, value in _figures(document):
        name = path.rpartition(".")[2]
        if name.endswith("_ns") and name not in {"begin_ns", "start_ns"}:
            assert value <= threads * 1e9, path
        if name.endswith("_s"):
            assert value <= threads, path
        if name.endswith("_us"):
            assert value <= 1e6, path
    assert "e+" not in report_text(report, tables())


def test_exports_cut_and_mark(capture: Capture, report: TraceReport, tmp_path: Path) -> None:
    events = [json.loads(line) for line in jsonl_lines(read_events(capture))]
    still = {(row["name"], row["tid"]): row["duration_ns"] for row in events if row["unfinished"]}
    assert still == {
        ("llama_decode", MAIN): 700 * MS,
        ("futex", WORKER): 600 * MS,
        ("read", PYTHON): 500 * MS,
        ("GIL waited for", PYTHON): 400 * MS,
        ("write", KILLED): 100 * MS,
        ("llama_decode", KILLED): 110 * MS,
    }
    with (tmp_path / "x.db").open("wb") as out:
        write_sqlite(out, read_events(capture), report)
    with sqlite3.connect(tmp_path / "x.db") as database:
        rows = database.execute(
            "SELECT count(*), max(start_ns + duration_ns) FROM events WHERE unfinished"
        ).fetchone()
    assert rows == (len(still), capture.end_ns)
    trace = json.loads("".join(chrome_trace(read_events(capture), report, derived_phases(capture))))[
        "traceEvents"
    ]
    marked = [item for item in trace if item.get("args", {}).get("unfinished")]
    assert sum(item.get("cat") != "phase" for item in marked) == len(still)
    assert max(item["ts"] + item.get("dur", 0) for item in trace if "ts" in item) == END_US
    log = "\n".join(log_lines(read_events(capture), capture.begin_ns))
    assert "<unfinished after 0.600000>" in log


def test_calls_of_which_only_entries_were_caught_have_no_length(build: Build) -> None:
    def entries(out: Any) -> None:
        for at in range(0, 500_000, 100_000):
            out.add(Kind.CALL, at, nr=DECODE, args=(1, 1), flags=OPEN)
        out.add(Kind.COUNTER, END_US, nr=0, ret=1)

    report = analyse(build(entries, **_metadata(), boundary={"no_ends": "the caller is C++"}))
    assert report.functions[0].total_ns is None
    assert report.exchange is not None and report.exchange.per_token.in_c_us is None
    assert report.phases == []
