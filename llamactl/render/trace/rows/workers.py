"""The report's row about llama.cpp's RPC workers."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import byte_text, counted, name_text, time_text
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.threads.workers import WorkerRow

_SHOWN = 4


def workers(report: TraceReport) -> Iterator[str]:
    """What went to workers and came back."""
    for row in report.workers[:_SHOWN]:
        yield from _lines(row)
    if len(report.workers) > _SHOWN:
        yield f"+{len(report.workers) - _SHOWN} more: --show workers"


def _lines(row: WorkerRow) -> list[str]:
    lines = [
        f"{name_text(row.name)}: {byte_text(row.sent_bytes)} sent, {byte_text(row.received_bytes)} received,"
        f" {counted(row.round_trips, 'round trip')}"
    ]
    if row.token is not None:
        token = row.token
        trips = f"{token.round_trips:.3g} round trip{'' if token.round_trips == 1 else 's'}"
        lines.append(
            f"a token: {byte_text(round(token.sent_bytes))} sent, {byte_text(round(token.received_bytes))}"
            f" received, {trips}, {time_text(token.waited_ns)} waiting"
        )
    most = [
        f"{byte_text(one.sent_bytes + one.received_bytes)} in {safe_text(one.name)}"
        for one in row.functions
        if one.name is not None
    ]
    if most:
        lines.append("of that " + ", ".join(most[:2]))
    return lines
