"""Findings on threads: too many, spinning, of two runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.analysis.findings.arguments import CONTEXTS, last_argument
from llamactl.trace.analysis.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.analysis.report import TraceReport

OPENMP = (b"libgomp", b"libomp.", b"libiomp")


def _threads(report: TraceReport) -> Iterator[Finding]:
    budget = (report.metadata.get("cpu_budget") or {}).get("threads")
    asked = last_argument(report.exchange, CONTEXTS, "n_threads")
    if budget and asked and asked > budget:
        yield Finding(
            FindingKind.THREADS_OVER_BUDGET,
            None,
            {
                "threads": asked,
                "budget_threads": budget,
                "limited_by": report.metadata["cpu_budget"].get("limited_by"),
            },
        )


def _spinning(report: TraceReport) -> Iterator[Finding]:
    spin = report.spinning
    if spin is not None:
        yield Finding(
            FindingKind.SPINNING,
            None,
            {"threads": spin.threads, "spun_ns": spin.spun_ns, "between_calls_ns": spin.between_calls_ns},
        )


def _openmp(report: TraceReport) -> Iterator[Finding]:
    kinds = {
        kind.decode().rstrip(".")
        for row in report.files
        for kind in OPENMP
        if row.mapped_bytes and row.name.rpartition(b"/")[2].startswith(kind)
    }
    if len(kinds) > 1:
        yield Finding(FindingKind.OPENMP_RUNTIMES, None, {"runtimes": sorted(kinds)})


LOOKS: tuple[Look, ...] = (
    _threads,
    _spinning,
    _openmp,
)
