"""Findings on memory: locks that failed, growth from request to request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.analysis.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.analysis.report import TraceReport


def _mlock(report: TraceReport) -> Iterator[Finding]:
    failed = sum(row.errors for row in report.calls if row.name in {"mlock", "mlock2", "mlockall"})
    if failed:
        yield Finding(FindingKind.MLOCK_FAILED, None, {"failed_calls": failed})


def _memory(report: TraceReport) -> Iterator[Finding]:
    growth = report.memory_growth
    if growth is not None:
        yield Finding(
            FindingKind.MEMORY_GROWS,
            None,
            {
                "pid": growth.pid,
                "requests": growth.requests,
                "grown_bytes": growth.grown_bytes,
                "per_request_bytes": growth.per_request_bytes,
            },
        )


LOOKS: tuple[Look, ...] = (
    _mlock,
    _memory,
)
