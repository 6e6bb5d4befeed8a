"""Findings on what was refused, not answered or not found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

MOST = 3
"""More refusals are in the rows of their calls."""


def _refused(report: TraceReport) -> Iterator[Finding]:
    for row in report.refusals[:MOST]:
        figures = {**asdict(row), "object": _text(row.object), "by": row.by.value}
        yield Finding(FindingKind.REFUSED, _whole_run(report), figures)


def _unanswered(report: TraceReport) -> Iterator[Finding]:
    for row in report.unanswered[:MOST]:
        figures = {**asdict(row), "address": _text(row.address)}
        yield Finding(FindingKind.UNANSWERED, row.waited_ns, figures)


def _not_found(report: TraceReport) -> Iterator[Finding]:
    for row in report.missing[:MOST]:
        figures = {"pid": row.pid, "name": _text(row.name), "places": [_text(place) for place in row.places]}
        yield Finding(FindingKind.NOT_FOUND, _whole_run(report), figures)


def _whole_run(report: TraceReport) -> int | None:
    """Return what it cost: all of a run that failed."""
    failed = report.metadata.get("exit_code") not in (None, 0)
    return round(report.length_s * 1e9) if failed else None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


LOOKS: tuple[Look, ...] = (_refused, _unanswered, _not_found)
