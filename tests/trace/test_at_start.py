"""What a program that ran already had when recording began, and what can't be known of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.report import report_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import CURRENT_DIRECTORY, Kind
from llamactl.trace.mechanisms.report import TraceReport, analyse

Build = Callable[..., Capture]
BEGIN = 5_000_000_000
MODEL, OTHER = b"/models/a.gguf", b"/models/read.gguf"
ATTACHED: dict[str, Any] = {
    "attached": True,
    "recorded": {"begin_ns": BEGIN, "looked_ns": BEGIN + 1000, "end_ns": None},
}


def generating(out: Any) -> None:
    """A program that generates from a model it mapped long ago, with a log and a device open."""
    out.add(Kind.FD, 0, nr=CURRENT_DIRECTORY, text=b"/srv")
    for number, name in ((3, OTHER), (4, b"/srv/app.log"), (5, b"/dev/nvidia0"), (6, b"socket:[12]")):
        out.add(Kind.FD, 0, nr=number, text=name)
    out.add(Kind.MAP, 0.5, nr=1, args=(0x7F0000000000, 8 << 20, 0, 9), text=MODEL)
    out.add(Kind.MAP, 0.5, nr=1, args=(0x7E0000000000, 1 << 20, 0, 9), text=b"/gone.gguf (deleted)")
    for token in range(3):
        out.phase("decode", 100 + token * 1000, 800)
        out.call("write", 950 + token * 1000, 4, 0x1000, 20, ret=20)


def rows(report: TraceReport) -> dict[str, tuple[str, str]]:
    return {row.name: (" ".join(row.lines), row.verdict) for row in mechanisms(report)}


def test_what_is_mapped_and_open_at_the_start_is_told(build: Build) -> None:
    report = analyse(build(generating, **ATTACHED))
    load = {row.name: row for row in report.load}
    assert (load["/models/a.gguf"].mode, load["/models/a.gguf"].mapped_bytes) == ("mmap", 8 << 20)
    assert load["/gone.gguf (deleted)"].mode == "mmap"
    assert load["/models/read.gguf"].mode == "unknown"
    found = rows(report)
    assert "a.gguf 8 MiB, mmap (mapped when recording began)" in found["Mapping"][0]
    assert "read.gguf, unknown (open when recording began, not mapped)" in found["Mapping"][0]
    assert found["Mapping"][1] == "UNKNOWN"
    assert found["GPU"][0].startswith("/dev/nvidia0: open when recording began")
    assert "0 opened, 0 B read, 60 B written" in found["Files"][0]
    assert "4 descriptors open when recording began" in found["Files"][0]


def test_setting_up_isn_t_part_of_the_recording(build: Build) -> None:
    def fill(out: Any) -> None:
        out.add(Kind.COUNTER, -2_000_000, nr=0, ret=1)
        generating(out)

    report = analyse(build(fill, **ATTACHED))
    assert report.begin_ns == BEGIN
    assert report.length_s == pytest.approx(0.00296)


def test_the_first_token_that_is_seen_isn_t_the_program_s_first(build: Build) -> None:
    assert analyse(build(generating, **ATTACHED)).first_token is None
    assert "irst token" not in report_text(analyse(build(generating, **ATTACHED)))
    assert analyse(build(generating)).first_token is not None


def test_a_program_that_loads_while_it_is_recorded_has_one(build: Build) -> None:
    def fill(out: Any) -> None:
        out.call("getpid", 0)
        out.phase("load", 500_000, 100_000)
        out.phase("decode", 700_000, 100_000)

    first = analyse(build(fill, **ATTACHED)).first_token
    assert first is not None and first.total_s == pytest.approx(0.3)


def test_what_wasn_t_recorded_isn_t_ok(build: Build) -> None:
    found = rows(analyse(build(lambda out: out.call("kill", 0, 1, 9), selection=[62])))
    for name in ("Mapping", "GPU", "Files"):
        assert found[name][1] == "UNKNOWN", name
    empty = rows(analyse(build(lambda out: out.add(Kind.COUNTER, 0, nr=0, ret=1), **ATTACHED)))
    assert not [name for name, (_, verdict) in empty.items() if verdict == "ok"]
