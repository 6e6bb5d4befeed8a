"""Findings on memory: locks that failed, growth from request to request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


KEPT_SHARE = 0.5
"""Objects kept for at least this share of the requests are named."""


def _mlock(report: TraceReport) -> Iterator[Finding]:
    failed = sum(row.errors for row in report.calls if row.name in {"mlock", "mlock2", "mlockall"})
    if failed:
        yield Finding(FindingKind.MLOCK_FAILED, None, {"failed_calls": failed})


def _memory(report: TraceReport) -> Iterator[Finding]:
    growth = report.memory_growth
    if growth is not None:
        kept = [row for row in growth.kept or () if row.kept >= max(2, growth.requests * KEPT_SHARE)]
        yield Finding(
            FindingKind.MEMORY_GROWS,
            None,
            {
                "pid": growth.pid,
                "requests": growth.requests,
                "grown_bytes": growth.grown_bytes,
                "per_request_bytes": growth.per_request_bytes,
                "calls_known": growth.kept is not None,
                "kept": [{"name": row.name, "made": row.made, "freed": row.freed} for row in kept],
            },
            kept[0].place if kept else None,
            kept[0].caller if kept else None,
        )


LOOKS: tuple[Look, ...] = (
    _mlock,
    _memory,
)
