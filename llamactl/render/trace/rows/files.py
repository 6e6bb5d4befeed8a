"""Sentences on files: what was opened, read, written and left, and what the figures leave out."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import byte_text, count_text, counted, shortened
from llamactl.trace.mechanisms.files.mechanism import used_files
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots


def files(report: TraceReport) -> Iterator[str]:
    """What was opened, read and written; what was left behind."""
    used, blind = used_files(report), report.blind
    parts = (
        (count_text(sum(1 for row in report.files if row.opens)), "opened", blind.opens),
        (byte_text(sum(row.read_bytes for row in used)), "read", blind.reads),
        (byte_text(sum(row.written_bytes for row in used)), "written", blind.writes),
    )
    yield ", ".join(f"{figure if known else 'unknown'} {what}" for figure, what, known in parts)
    if report.open_at_start:
        yield f"{counted(sum(report.open_at_start.values()), 'descriptor')} open when recording began"
    for row in report.left_files[:3]:
        yield "left behind: " + shortened(safe_text(row.name), 44)
    yield from _unseen(blind)


def _unseen(blind: BlindSpots) -> Iterator[str]:
    """Say what the figures on files leave out."""
    if blind.io_uring_calls:
        yield f"and through io_uring: {counted(blind.io_uring_calls, 'call')}, files and bytes not seen"
    if blind.written_mappings:
        yield f"and through mappings of {counted(blind.written_mappings, 'file')}: bytes written not counted"
    if blind.vmsplice_calls:
        yield f"and by vmsplice: {counted(blind.vmsplice_calls, 'call')}, bytes not counted"
    if blind.foreign_calls:
        calls = counted(blind.foreign_calls, "call")
        yield f"and by 32-bit programs: {calls}, known by number alone: files and bytes not counted"
    for count, what in ((blind.unnamed_read_bytes, "read"), (blind.unnamed_written_bytes, "written")):
        if count:
            yield (
                f"and {byte_text(count)} {what} through descriptors that were inherited or received: of what isn't known"
            )
    if not (blind.opens and blind.reads and blind.writes):
        yield "-e left calls on files out"
