"""Findings on threads that stood in a call when the recording ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


def _standing(report: TraceReport) -> Iterator[Finding]:
    for one in report.standing:
        cost = None if one.standing.seconds is None else round(one.standing.seconds * 1e9)
        yield Finding(FindingKind.STANDING, cost, {"process": one.process, **asdict(one.standing)})


def _unanswered(report: TraceReport) -> Iterator[Finding]:
    for process in dict.fromkeys(row.process for row in report.unanswered_requests):
        mine = [row.request for row in report.unanswered_requests if row.process == process]
        cost = round(mine[0].seconds * 1e9)
        yield Finding(
            FindingKind.UNANSWERED_REQUESTS,
            cost,
            {"process": process, "requests": [asdict(one) for one in mine]},
        )


LOOKS: tuple[Look, ...] = (_standing, _unanswered)
