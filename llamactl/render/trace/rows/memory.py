"""Sentences on how models came into memory, on page faults, and on bytes from the disk."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import bounds_text, byte_text, count_text, shortened, time_text
from llamactl.trace.mechanisms.disk.load import LoadFacts
from llamactl.trace.mechanisms.report import TraceReport

_PARTS = {"load": "loading", "prompt": "prompt", "generate": "generating"}


def mapping(report: TraceReport) -> Iterator[str]:
    """How each model came into memory."""
    if not report.load and not report.blind.maps:
        yield "unknown: mmap wasn't recorded (-e)"
    elif not report.load:
        made = len(report.mappings) + report.mappings_not_kept
        yield f"{count_text(made)} mappings, none of a model"
    for row in report.load:
        yield from _model(row)


def _model(row: LoadFacts) -> Iterator[str]:
    name = shortened(safe_text(row.name.rpartition("/")[2]), 34)
    known = max(row.mapped_bytes, row.read_bytes)
    yield f"{name}{f' {byte_text(known)}' if known else ''}, {row.mode} ({row.evidence})"
    if row.processes > 1:
        yield f"mapped by {row.processes} processes, which share its pages"
    if row.populated and row.map_s is not None:
        yield f"its pages came with the mmap call (MAP_POPULATE), {time_text(row.map_s * 1e9)}"
    if row.minor_faults is not None or row.major_faults is not None:
        yield f"{count_text(row.minor_faults)} minor and {count_text(row.major_faults)} major page faults on it"
    if row.resident_advice:
        yield "advice: " + ", ".join(row.resident_advice)


def faults(report: TraceReport) -> Iterator[str]:
    """How many, on what, and how many waited for the disk."""
    listed = ", ".join(f"{count_text(row.count)} {row.name}" for row in report.faults[:3])
    yield f"{count_text(sum(row.count for row in report.faults))} ({listed})"
    yield f"{count_text(sum(row.major_faults for row in report.faults))} waited for the disk"


def disk(report: TraceReport) -> Iterator[str]:
    """What came from the disk, in each part of the run."""
    rows = {row.name: row for row in report.disk if row.disk.least is not None or row.disk.most is not None}
    known = [(title, rows[name]) for name, title in _PARTS.items() if name in rows]
    for title, row in known or [("in all", rows["all"])]:
        yield f"{title}: {bounds_text(row.disk)} from disk, {bounds_text(row.cache)} cached"
