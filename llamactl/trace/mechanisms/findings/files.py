"""Findings on files: the load mode, what was left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.capture.engine_calls import LOADS
from llamactl.trace.mechanisms.findings.arguments import last_argument
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

LOAD_MODES = {0: "none", 1: "mmap", 2: "mlock", 3: "mmap+mlock", 4: "dio"}


def _load_mode(report: TraceReport) -> Iterator[Finding]:
    asked = LOAD_MODES.get(last_argument(report.exchange, LOADS, "load_mode") or -1)
    names = {"read": "none", "direct": "dio"}
    for row in report.load:
        in_force = names.get(row.mode, row.mode)
        if asked and in_force not in {"unknown", asked}:
            yield Finding(
                FindingKind.LOAD_MODE, None, {"asked": asked, "in_force": in_force, "file": row.name}
            )


def _temporary(report: TraceReport) -> Iterator[Finding]:
    left = report.left_files
    if left:
        yield Finding(
            FindingKind.TEMPORARY_FILES,
            None,
            {"files": [row.name for row in left], "written_bytes": sum(row.written_bytes for row in left)},
        )


LOOKS: tuple[Look, ...] = (
    _load_mode,
    _temporary,
)
