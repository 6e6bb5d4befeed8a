"""Sentences on what `trace/mechanisms/findings/buffers.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text, count_text, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _logits_copied(f: Figures) -> Said:
    size = "" if f["row_bytes"] is None else f", {byte_text(f['row_bytes'])}"
    cost = f["copy_us_per_token"]
    took = "" if cost is None else f", {time_text(cost * 1e3)}"
    return (
        f"Logits are copied to a Python list: each float becomes an object{size}{took} per token.",
        "Take a view (numpy.ctypeslib.as_array), or let llama.cpp sample.",
    )


def _logits_stale(f: Figures) -> Said:
    return (
        f"Logits were read {count_text(f['stale_reads'])} times after a later decode had overwritten them.",
        "Use a row before the next decode, or copy it.",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.LOGITS_COPIED: _logits_copied,
    FindingKind.LOGITS_STALE: _logits_stale,
}
