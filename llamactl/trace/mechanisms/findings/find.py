"""All findings of a report, the most costly first: only what was measured, each with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings import (
    buffers,
    callbacks,
    cpu,
    disk,
    engine,
    files,
    garbage,
    gil,
    memory,
    processes,
    refused,
    requests,
    standing,
    threads,
)
from llamactl.trace.mechanisms.findings.finding import Finding, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

LOOKS: tuple[Look, ...] = (
    *standing.LOOKS,
    *refused.LOOKS,
    *gil.LOOKS,
    *garbage.LOOKS,
    *callbacks.LOOKS,
    *cpu.LOOKS,
    *threads.LOOKS,
    *requests.LOOKS,
    *files.LOOKS,
    *disk.LOOKS,
    *memory.LOOKS,
    *buffers.LOOKS,
    *engine.LOOKS,
    *processes.LOOKS,
)
"""A new finding is a function in its subject's file here, and its sentence in ``render/trace/findings/``."""


def find(report: TraceReport) -> list[Finding]:
    """Return the findings of a report, the most costly first; those without a cost keep their order."""
    found = [finding for look in LOOKS for finding in look(report)]
    return sorted(found, key=lambda finding: -(finding.cost_ns or 0))
