"""Findings on processes: who does the work that the recorded one doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


def _children(report: TraceReport) -> Iterator[Finding]:
    """A server's master calls nothing: its workers do."""
    children = report.metadata.get("children") or {}
    processes = children.get("processes")
    if processes and not children.get("recorded") and report.exchange is None:
        figures = {"pid": report.metadata.get("pid"), "children": processes}
        yield Finding(FindingKind.CHILDREN_NOT_RECORDED, None, figures)


LOOKS: tuple[Look, ...] = (_children,)
