"""Sentences on what `trace/mechanisms/findings/garbage.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import counted, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _collector(f: Figures) -> Said:
    return (
        f"Python's garbage collector went through all objects {counted(f['collections'], 'time')} while tokens were made,"
        f" for up to {time_text(f['longest_ns'])} (at {f['longest_at_s']:.2f} s): {time_text(f['in_tokens_ns'])} of"
        f" {counted(f['tokens'], 'token')}.",
        "Call gc.freeze() once everything that stays is loaded, or gc.disable() while an answer is made.",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.COLLECTOR: _collector,
}
