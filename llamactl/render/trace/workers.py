"""The report's row about llama.cpp's RPC workers."""

from __future__ import annotations

from llamactl.render.safe import safe_text
from llamactl.render.trace.mechanism import OK, Mechanism
from llamactl.render.trace.text import byte_text, counted, name_text, time_text
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.threads.workers import WorkerRow

_SHOWN = 4


def workers(report: TraceReport) -> Mechanism | None:
    """Return the row; None for a program without workers."""
    if not report.workers:
        return None
    lines = [line for row in report.workers[:_SHOWN] for line in _lines(row)]
    if len(report.workers) > _SHOWN:
        lines.append(f"+{len(report.workers) - _SHOWN} more: --show workers")
    explanation = (
        "A worker computes layers of the model on another machine. Each token goes there and back; each round"
        " trip waits for the network and for the worker."
    )
    return Mechanism("Workers", tuple(lines), OK, explanation)


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
