"""Findings on threads: spinning, of two runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.cpu import threads_over_budget
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

OPENMP = (b"libgomp", b"libomp.", b"libiomp")


def _spinning(report: TraceReport) -> Iterator[Finding]:
    spin = report.spinning
    # More threads than CPUs spin for each other, too: fewer threads end it, another way of waiting doesn't.
    if spin is not None and threads_over_budget(report) is None:
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
    _spinning,
    _openmp,
)
