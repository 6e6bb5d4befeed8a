"""Sentences on what `trace/mechanisms/findings/gil.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import count_text, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _gil_held(f: Figures) -> Said:
    text = (
        f"{f['function']} holds the GIL in {count_text(f['held'])} of {count_text(f['count'])} calls, up to"
    )
    text += f" {time_text(f['longest_ns'])} at a time"
    if f["stalled_ns"]:
        text += f"; other Python threads waited {time_text(f['stalled_ns'])} for it"
    return f"{text}.", "Load the library with CDLL, not PyDLL, or release the GIL in the extension (nogil)."


def _event_loop(f: Figures) -> Said:
    times = "once" if f["gaps"] == 1 else f"{count_text(f['gaps'])} times"
    return (
        f"The event loop of thread {f['tid']} didn't look for events {times}, for up to {time_text(f['longest_ns'])}:"
        f" it computed ({time_text(f['in_c_ns'])} in llama.cpp).",
        "Call llama.cpp in a thread (asyncio.to_thread).",
    )


def _binding(f: Figures) -> Said:
    return (
        f"Python takes {time_text(f['python_us_per_token'] * 1e3)} of {time_text(f['token_us'] * 1e3)} per token"
        f" ({f['share']:.0%}) between the calls.",
        "Look at what runs there: sampling in Python, logits processors, detokenizing, logging.",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.GIL_HELD: _gil_held,
    FindingKind.EVENT_LOOP_BLOCKED: _event_loop,
    FindingKind.BINDING_OVERHEAD: _binding,
}
