"""All findings of a report, the most costly first: only what was measured, each with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding
from llamactl.trace.mechanisms.registry import MECHANISMS

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


def find(report: TraceReport) -> list[Finding]:
    """Return the findings of a report, the most costly first; those without a cost keep their order."""
    found = [finding for mechanism in MECHANISMS for finding in mechanism.findings(report)]
    return sorted(found, key=lambda finding: -(finding.cost_ns or 0))
