"""Findings on Python's garbage collector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

LEAST_NS = 20_000_000
"""Collections that took less of all tokens together aren't worth a word."""


def _collector(report: TraceReport) -> Iterator[Finding]:
    found = report.garbage
    if found is None or found.in_tokens_ns < LEAST_NS:
        return
    longest = max(found.while_generating, key=lambda one: one.length_ns)
    figures = {
        "collections": len(found.while_generating),
        "of_collections": found.count,
        "longest_ns": longest.length_ns,
        "longest_at_s": (longest.start_ns - report.begin_ns) / 1e9,
        "tokens": found.tokens,
        "in_tokens_ns": found.in_tokens_ns,
    }
    yield Finding(FindingKind.COLLECTOR, found.in_tokens_ns, figures)


LOOKS: tuple[Look, ...] = (_collector,)
