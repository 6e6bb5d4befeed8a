"""Findings on what llama.cpp hands out: copies, stale reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.mechanisms.buffers.buffers import Verdict
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


def _logits(report: TraceReport) -> Iterator[Finding]:
    facts = report.exchange
    buffer = facts.buffer if facts is not None else None
    if facts is None or buffer is None:
        return
    row = next((row for row in facts.functions if row.name in LOGITS and row.places), None)
    place, caller = (row.places[0], next(iter(row.callers), None)) if row else (None, None)
    if buffer.verdict is Verdict.LIST_COPY:
        cost = buffer.copy_us_per_token
        figures = {"row_bytes": buffer.row_bytes, "copy_us_per_token": cost}
        total = None if cost is None else round(cost * 1e3 * buffer.tokens)
        yield Finding(FindingKind.LOGITS_COPIED, total, {**figures, "tokens": buffer.tokens}, place, caller)
    if buffer.stale_reads:
        figures = {"stale_reads": buffer.stale_reads, "tokens": buffer.tokens}
        yield Finding(FindingKind.LOGITS_STALE, None, figures, place, caller)


LOOKS: tuple[Look, ...] = (_logits,)
