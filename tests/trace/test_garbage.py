"""Full garbage collections of Python that fall into tokens are named; their length follows from looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from capture_of_tokens import DECODE, generate, metadata

from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.report import report_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind, Sched
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.mechanisms.slow.slow_causes import Cause

Build = Callable[..., Capture]
BEGIN = 5_000_000_000
GC_US = 200_000


def look(out: Any, at_us: int, before_us: int, at_work: bool, full: int) -> None:
    """A look at the collector that found something new."""
    args = (int(at_work), full, BEGIN + before_us * 1000)
    out.add(Kind.SCHED, at_us, nr=Sched.COLLECTOR, args=args)


def with_a_pause(build: Build, *, collected: bool, **more: Any) -> TraceReport:
    """Ten tokens of 8.5 ms; 200 ms of Python in the fifth one, in which everything may be collected."""

    def fill(out: Any) -> None:
        generate(out, tokens=5)
        last = 20_000 + 4 * 8500
        for token in range(1, 6):
            at = last + GC_US + token * 8500
            out.add(Kind.CALL, at, nr=DECODE, args=(1, 1, 0), duration=8_000_000, flags=Flag.GIL_RELEASED)
        look(out, 100, 100, False, 3)
        if collected:
            begun = last + 8100
            look(out, begun + 5000, begun - 5000, True, 3)
            look(out, begun + GC_US + 5000, begun + GC_US - 5000, False, 4)

    return analyse(build(fill, **metadata(**more)))


def test_a_collection_in_a_token_is_told_with_its_length(build: Build) -> None:
    report = with_a_pause(build, collected=True)
    finding = next(one for one in find(report) if one.kind is FindingKind.COLLECTOR)
    assert (finding.figures["collections"], finding.figures["tokens"]) == (1, 1)
    assert finding.figures["longest_ns"] == pytest.approx(200_000_000)
    assert "gc.freeze()" in finding_text(finding)
    assert "1 full garbage collection, 200 ms in all" in report_text(report)


def test_the_slow_token_has_the_collector_as_its_cause(build: Build) -> None:
    (slow,) = with_a_pause(build, collected=True).slow_tokens
    assert slow.cause is Cause.COLLECTOR
    assert slow.explained_ns == pytest.approx(200_000_000, rel=0.02)


def test_python_that_collects_nothing_is_python(build: Build) -> None:
    report = with_a_pause(build, collected=False)
    assert FindingKind.COLLECTOR not in {one.kind for one in find(report)}
    assert [slow.cause for slow in report.slow_tokens] == [Cause.PYTHON]


def test_a_collector_that_cannot_be_seen_is_said(build: Build) -> None:
    report = with_a_pause(build, collected=False, collectors_unseen={"1000": "another kind"})
    assert "garbage collections aren't seen: another kind" in " ".join(report_text(report).split())
