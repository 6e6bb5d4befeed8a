"""Embeddings, state, and what is taken in: where the buffers lie and who reads them, against what the program says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boundary_support import PROGRAMS
from test_boundary_started import engine, traced

from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.rows.row import Row
from llamactl.trace.mechanisms.buffers.buffer_readers import How
from llamactl.trace.mechanisms.buffers.buffers import Verdict
from llamactl.trace.mechanisms.report import TraceReport, analyse

__all__ = ["engine"]
pytest.importorskip("numpy")
TIMES = 6
TEXT_BYTES, WIDTH, STATE_BYTES = 13, 576, 70000


def report_of(
    built: Path, place: Path, engine: str, way: str, capfd: pytest.CaptureFixture[str]
) -> tuple[dict[str, int], TraceReport]:
    program = PROGRAMS / "boundary_buffers.py"
    command = (program, built / "reads" / "libllama.so", way, str(TIMES))
    capture, _ = traced(place, engine, *command, watch=True)
    return json.loads(capfd.readouterr().out), analyse(capture)


def row_of(report: TraceReport) -> Row:
    return next(row for row in mechanisms(report) if row.name == "Buffers")


def test_where_they_lie(built: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    truth, report = report_of(built, tmp_path, "ptrace", "view", capfd)
    rows = {(row.name, row.what, row.direction): row for row in report.buffers}
    expected = {
        ("llama_get_embeddings_seq", "embeddings", "out"): (truth["embedding"], TIMES + 1, WIDTH * 4),
        ("llama_state_get_data", "state", "out"): (truth["state"], TIMES, STATE_BYTES),
        ("llama_state_set_data", "state", "in"): (truth["state"], 1, STATE_BYTES),
        ("llama_encode", "tokens", "in"): (truth["tokens"], TIMES, TEXT_BYTES * 4),
        ("llama_encode", "embeddings", "in"): (truth["vectors"], 1, 3 * WIDTH * 4),
        ("llama_tokenize", "tokens", "out"): (truth["tokens"], 1, TEXT_BYTES * 4),
    }
    assert truth["width"] == WIDTH
    for key, (address, count, size) in expected.items():
        row = rows[key]
        assert (row.address, row.count, row.largest_bytes, row.places) == (address, count, size, 1), key
    text = rows["llama_tokenize", "text", "in"]
    assert (text.count, text.largest_bytes) == (1, TEXT_BYTES)
    assert rows["llama_state_get_data", "state", "out"].memory == ("anonymous",)
    assert rows["llama_get_embeddings_seq", "embeddings", "out"].memory == ("anonymous",)  # .bss
    assert rows["llama_encode", "tokens", "in"].memory[0] in {"heap", "anonymous"}


@pytest.mark.parametrize(("way", "verdict"), [("list", Verdict.LIST_COPY), ("view", Verdict.VIEWED)])
def test_who_reads_embeddings(
    built: Path, tmp_path: Path, engine: str, way: str, verdict: Verdict, capfd: pytest.CaptureFixture[str]
) -> None:
    truth, report = report_of(built, tmp_path, engine, way, capfd)
    assert report.exchange is not None
    buffers = {buffer.name: buffer for buffer in report.exchange.other_buffers}
    found = buffers["embeddings"]
    assert (found.address, found.row_bytes, found.verdict) == (truth["embedding"], WIDTH * 4, verdict)
    assert found.tokens == TIMES + 1
    how = How.LIST if way == "list" else How.IN_PLACE
    reader = next(one for one in found.readers if one.how is how)
    assert reader.touches == TIMES if way == "list" else reader.touches >= TIMES
    assert reader.whole_row
    row = row_of(report)
    assert f"embeddings handed out {TIMES + 1} times, 2.25 KiB each" in row.lines
    assert row.verdict == ("COPIED" if way == "list" else "ok")
    # Debug registers are few: the state came second, and the report says that it wasn't watched.
    assert buffers.get("state") is None or "debug register" in buffers["state"].refused


def test_embeddings_of_an_earlier_call(
    built: Path, tmp_path: Path, engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _, report = report_of(built, tmp_path, engine, "stale", capfd)
    assert report.exchange is not None
    found = next(one for one in report.exchange.other_buffers if one.name == "embeddings")
    assert found.stale_reads == TIMES
    assert row_of(report).verdict == "STALE"
