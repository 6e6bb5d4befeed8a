"""Sentences on what `trace/mechanisms/findings/callbacks.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import count_text, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _called_back(f: Figures) -> Said:
    text = (
        f"{f['function']} called Python {count_text(f['count'])} times, {time_text(f['mean_ns'])} each:"
        f" {f['share_of_function']:.0%} of its time is Python's ({time_text(f['total_ns'])})."
    )
    if f["lists"]:
        return (
            f"{text} {count_text(f['lists'])} times all logits became a Python list there"
            f" ({count_text(f['list_elements'])} objects).",
            "Work on the array itself (numpy), or let llama.cpp sample.",
        )
    if "sampler" in f["function"]:
        return (
            text,
            "Make the logits processor cheaper (numpy on the array itself), or let llama.cpp sample.",
        )
    return text, "Make that function cheaper, or don't register it."


SENTENCES: dict[Enum, Sentence] = {FindingKind.PYTHON_CALLED_BACK: _called_back}
