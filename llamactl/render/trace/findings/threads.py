"""Sentences on what `trace/mechanisms/findings/threads.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import counted, time_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _spinning(f: Figures) -> Said:
    return (
        f"Compute threads spin: {counted(f['threads'], 'thread')} ran or waited for a CPU for"
        f" {time_text(f['spun_ns'])} while no call was under way ({time_text(f['between_calls_ns'])}).",
        "Set OMP_WAIT_POLICY=passive (or poll=0 for llama.cpp's own threads).",
    )


def _openmp(f: Figures) -> Said:
    return (
        f"Two OpenMP runtimes are loaded ({', '.join(f['runtimes'])}): each has its own threads, which get in each"
        " other's way.",
        "Build with the same compiler, or without OpenMP (GGML_OPENMP=OFF).",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.SPINNING: _spinning,
    FindingKind.OPENMP_RUNTIMES: _openmp,
}
