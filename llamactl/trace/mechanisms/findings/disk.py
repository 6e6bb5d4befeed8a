"""Findings on what comes from the disk while tokens are made: the model's pages, or somebody else's reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llamactl.trace.capture.engine_calls import COMPUTE
from llamactl.trace.mechanisms.disk.disk import NOTABLE_BYTES
from llamactl.trace.mechanisms.disk.generation_reads import PageIn
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look
from llamactl.trace.mechanisms.memory.faults import NOT_SEEN

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

READ_AHEAD_BYTES = 128 << 10
"""What Linux reads for a page that is waited for, unless told otherwise (``read_ahead_kb``, 128)."""
MOST_NAMED = 3


def _disk(report: TraceReport) -> Iterator[Finding]:
    """The model is to blame only if its pages were waited for, or its file was read."""
    fetched = next((row.disk.least for row in report.disk if row.name == "generate"), None)
    if fetched is None or fetched <= NOTABLE_BYTES:
        return
    model = _of_model(report)
    faults = model["model_major_faults"]
    weighs = ((faults if faults is not None else model["major_faults_in_calls"]) or 0) * READ_AHEAD_BYTES
    if max(weighs, model["model_read_bytes"] or 0) > NOTABLE_BYTES:
        yield Finding(FindingKind.DISK_WHILE_GENERATING, None, {"read_bytes": fetched, **model})
    else:
        yield Finding(
            FindingKind.OTHER_DISK_READS, None, {"read_bytes": fetched, **model, **_of_others(report)}
        )


def _weighs(row: PageIn) -> bool:
    return row.major_faults * READ_AHEAD_BYTES > NOTABLE_BYTES


def _models(report: TraceReport) -> set[str]:
    return {row.name for row in report.load}


def _of_model(report: TraceReport) -> dict[str, Any]:
    """Return what was read of model files, and how often their pages were waited for; None for unknown."""
    facts, models = report.generation_reads, _models(report)
    read = sum(row.read_bytes for row in facts.readers if _text(row.name) in models)
    pages = facts.page_ins
    if pages is not None and any(row.role == NOT_SEEN and _weighs(row) for row in pages):
        pages = None  # Whose these were isn't known.
    majors = None if pages is None else [row for row in pages if row.role == "weights"]
    return {
        "model_files": sorted(models),
        "model_read_bytes": read if facts.reads_known else None,
        "model_major_faults": None if majors is None else sum(row.major_faults for row in majors),
        "major_faults_in_calls": _in_calls(report),
    }


def _in_calls(report: TraceReport) -> int | None:
    """Return how often a computing call waited for a page, where a model is mapped whose pages these can be."""
    facts = report.exchange
    if facts is None or not any(row.mapped_bytes for row in report.load):
        return None
    calls = facts.exchange.calls[facts.exchange.named(*COMPUTE)]
    faults = facts.exchange.argument(calls, "faults")
    return None if faults is None else int((faults >> 32).sum())


def _of_others(report: TraceReport) -> dict[str, Any]:
    facts, models = report.generation_reads, _models(report)
    names = {row.pid: row.name for row in report.processes}
    readers = [row for row in facts.readers if _text(row.name) not in models]
    notable = [row for row in readers if row.read_bytes >= NOTABLE_BYTES]
    pages = [row for row in facts.page_ins or [] if row.role != "weights"]
    return {
        "readers": [
            {
                "file": _text(row.name),
                "pid": row.pid,
                "process": names.get(row.pid),
                "read_bytes": row.read_bytes,
            }
            for row in (notable or readers[:1])[:MOST_NAMED]
        ],
        "readers_bytes": sum(row.read_bytes for row in readers),
        "page_ins": [
            {"role": row.role, "file": row.name, "major_faults": row.major_faults}
            for row in pages[:MOST_NAMED]
        ],
    }


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


LOOKS: tuple[Look, ...] = (_disk,)
