"""Addresses of all 64 bits: [vsyscall] lies in the upper half, and a program may pass any number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llamactl.render.trace.json import report_json
from llamactl.render.trace.report import report_text
from llamactl.render.trace.sqlite import write_sqlite
from llamactl.render.trace.tables import tables
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.mechanisms.events import read_events
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
VSYSCALL, USER, PAGE = 0xFFFFFFFFFF600000, 0x7F0000000000, 4096
LARGE_PID = 4_000_000


def _tables() -> dict[str, Any]:
    args, kept = parse_keeps("context:p index:i -")
    name = "llama_get_logits_ith"
    row = Function(name, "/p/_ctypes.so", "/l/libllama.so", "dlsym", args, kept, "p").to_metadata()
    return {"functions": [name], "function_table": [row]}


def test_faults_and_buffers_of_a_program_with_the_kernel_s_page(build: Build, tmp_path: Path) -> None:
    def fill(out: Any) -> None:
        for start, name in ((USER, b"/models/a.gguf"), (VSYSCALL, b"[vsyscall]")):
            out.add(Kind.MAP, 0, nr=1, args=(start, PAGE, 0, 0), text=name)
            out.add(Kind.FAULT, 10, args=(start + 8, start))
        out.add(Kind.FAULT, 10, args=(2**64 - 8, 0))
        for address in (USER + 64, VSYSCALL, 2**64 - 64):
            out.add(Kind.CALL, 20, duration=5, ret=address - 2**64 * (address >> 63), flags=Flag.GIL_HELD)

    capture = build(fill, **_tables())
    report = analyse(capture)
    by_role = {row.name: row.count for row in report.faults}
    assert by_role == {"weights": 1, "kernel": 1, "in no mapping that was seen being made": 1}
    (buffer,) = report.buffers
    assert set(buffer.memory) == {"weights", "kernel", "unknown"}
    assert report_text(report, tables())
    assert json.loads(report_json(report))["faults"]
    with (tmp_path / "x.db").open("wb") as file:
        write_sqlite(file, read_events(capture), report)
    with sqlite3.connect(tmp_path / "x.db") as database:
        assert database.execute("SELECT count(*) FROM events WHERE kind = 'fault'").fetchone() == (3,)


def test_futex_words_are_told_apart_in_processes_with_large_numbers(build: Build) -> None:
    def fill(out: Any) -> None:
        for pid in (LARGE_PID, LARGE_PID + (1 << 16)):
            out.add(
                Kind.MAP, 0, pid=pid, tid=pid, nr=3, args=(USER, PAGE, 0, 0), text=b"/usr/lib/libgomp.so.1"
            )
            out.call("futex", 10, USER + 64, 128, 1, took_us=30, pid=pid, tid=pid)
        out.call("futex", 50, VSYSCALL, 128, 1, took_us=1, ret=-14)

    rows = {row.name: row for row in analyse(build(fill)).futexes}
    assert rows["libgomp barrier"].words == 2
    assert rows["libgomp barrier"].waited_ns == 60_000
    assert rows["other"].waits == 1
