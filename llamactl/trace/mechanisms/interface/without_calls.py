"""The verdict on what only calls into llama.cpp would tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.mechanism import UNKNOWN, UNUSED, Verdict

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


def without_calls(report: TraceReport) -> Verdict:
    """Return unknown where recording calls was refused; else there are none to judge."""
    return UNKNOWN if report.metadata.get("calls_refused") else UNUSED
