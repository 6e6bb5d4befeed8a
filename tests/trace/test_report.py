"""Facts drawn from the committed capture, and how they hold together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.capture.writer import CaptureWriter
from llamactl.trace.decode.filters import Selection, parse_calls
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]


@pytest.fixture
def report(load_capture: Capture) -> TraceReport:
    return analyse(load_capture)


def test_the_committed_capture_is_what_its_program_writes(
    tmp_path: Path, load_capture: Capture, monkeypatch: pytest.MonkeyPatch, capture_program: ModuleType
) -> None:
    again = tmp_path / "again.capture"
    monkeypatch.setattr(sys, "argv", ["make_capture.py", str(again)])
    capture_program.main()
    assert again.read_bytes() == load_capture.path.read_bytes()


def test_all_tables_count_the_same_calls(report: TraceReport) -> None:
    total = sum(row.count for row in report.calls)
    assert total == 40
    assert sum(row.count for row in report.phases) == total
    assert sum(row.count for row in report.threads) == total
    assert sum(row.count for row in report.processes) == total


def test_phases(report: TraceReport) -> None:
    rows = {row.name: row for row in report.phases}
    assert list(rows) == ["load", "tokenize", "prefill", "decode", "sample", "free", "outside"]
    assert (rows["decode"].intervals, rows["decode"].count) == (3, 7)
    assert rows["load"].read_bytes == 4096
    assert rows["load"].major_faults == 1
    assert rows["outside"].wall_s is None


def test_load_facts(report: TraceReport) -> None:
    (facts,) = report.load
    assert (facts.mode, facts.mapped_bytes, facts.read_bytes) == ("mmap", 8 << 20, 4096)
    assert (facts.minor_faults, facts.major_faults) == (5, 1)
    assert facts.resident_advice == ("MADV_WILLNEED",)


def test_disk_against_page_cache_by_phase(report: TraceReport) -> None:
    disk = next(row for row in report.counters if row.name == "read_bytes")
    assert disk.gained_by_phase == {"load": 8 << 20}


def test_what_threads_waited_for(report: TraceReport) -> None:
    rows = {row.name: (row.waits, row.threads) for row in report.futexes}
    assert rows == {"compute barrier": (8, 2), "GIL": (1, 1), "malloc arena": (1, 1)}


def test_time_to_the_first_token_adds_up(report: TraceReport) -> None:
    split = report.first_token
    assert split is not None
    assert split.ends_with == "sample"
    assert split.total_s == pytest.approx(0.079)
    assert sum(seconds for _, seconds in split.parts) == pytest.approx(split.total_s)
    assert dict(split.parts)["prefill"] == pytest.approx(0.02)


def test_files(report: TraceReport) -> None:
    rows = {row.name: row for row in report.files}
    left = rows[b"/tmp/left.bin"]
    assert (left.new, left.removed, left.written_bytes) == (True, False, 111)
    assert (rows[b"/etc/app.conf"].opens, rows[b"/etc/app.conf"].open_errors) == (0, 1)
    assert rows[b"/dev/pts/3"].written_bytes == 27


def test_threads_and_processes(report: TraceReport) -> None:
    assert [(row.tid, row.role) for row in report.threads] == [
        (1000, "main"),
        (1001, "compute"),
        (1100, "main"),
    ]
    assert [(row.name, row.depth, row.end) for row in report.processes] == [
        ("python", 0, "exit 0"), ("true", 1, "exit 3"),
    ]  # fmt: skip


def test_own_cost(report: TraceReport) -> None:
    assert report.cost.complete
    assert report.cost.estimated_s == pytest.approx(report.cost.records * 9e-6)


def test_an_exit_that_never_returns_has_no_duration(report: TraceReport) -> None:
    row = next(row for row in report.calls if row.name == "exit_group")
    assert (row.unfinished, row.total_ns, row.max_ns) == (1, None, None)


@pytest.mark.parametrize(
    ("selection", "count"),
    [
        (Selection(calls=parse_calls(["trace=futex"])), 10),
        (Selection(errors=True), 2),
        (Selection(phases=("decode",)), 7),
        (Selection(phases=("outside",)), 22),
        (Selection(threads=("compute",)), 6),
        (Selection(threads=("1100",)), 2),
        (Selection(paths=(b"/models/tiny.gguf",)), 4),
        (Selection(paths=(b"/tmp/left.bin",), threads=("1100",)), 1),
    ],
)
def test_selections_narrow_what_is_counted(load_capture: Capture, selection: Selection, count: int) -> None:
    assert sum(row.count for row in analyse(load_capture, selection).calls) == count


def test_records_of_several_sources_are_put_in_order(load_capture: Capture, tmp_path: Path) -> None:
    """Two sources whose batches come late and interleaved give the same facts."""
    records = next(iter(load_capture.chunks()))
    path = tmp_path / "mixed.capture"
    writer = CaptureWriter(path)
    writer.metadata(load_capture.metadata)
    mixed = records.copy()
    for row in mixed:
        for field in ("text", "text2"):
            if row[field]:
                row[field] = writer.add_string(load_capture.text(int(row[field])))
    strings = mixed["text"] != 0
    writer.records(mixed[~strings])
    writer.records(mixed[strings])
    writer.close()
    plain, shuffled = analyse(load_capture), analyse(Capture.open(path))
    assert shuffled.files == plain.files
    assert [row.length_bytes for row in shuffled.mappings] == [row.length_bytes for row in plain.mappings]
    assert shuffled.calls == plain.calls


def test_lost_records_make_a_trace_incomplete(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("getpid", 0)
        out.add(Kind.LOST, 10, ret=42)

    cost = analyse(build(fill)).cost
    assert (cost.complete, cost.lost) == (False, 42)


def test_an_empty_capture_has_empty_tables(build: Build, tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "empty.capture")
    writer.close()
    report = analyse(Capture.open(tmp_path / "empty.capture"))
    assert (report.calls, report.length_s, report.command, report.first_token) == ([], 0.0, (), None)


def test_a_capture_cut_off_anywhere_is_readable(load_capture: Capture, tmp_path: Path) -> None:
    data = load_capture.path.read_bytes()
    path = tmp_path / "cut.capture"
    for length in range(24, len(data), 997):
        path.write_bytes(data[:length])
        report = analyse(Capture.open(path))
        assert not report.cost.complete
