"""Findings as sentences: the figure, the place, the remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from llamactl.render.safe import safe_text
from llamactl.render.trace_exchange import place_text
from llamactl.render.trace_text import byte_text, count_text, time_text
from llamactl.trace.analysis.findings import Finding, FindingKind

WIDTH = 80
Figures = dict[str, Any]


def _gil_held(f: Figures) -> str:
    text = (
        f"{f['function']} holds the GIL in {count_text(f['held'])} of {count_text(f['count'])} calls, up to"
    )
    text += f" {time_text(f['longest_ns'])} at a time"
    if f["stalled_ns"]:
        text += f"; other Python threads waited {time_text(f['stalled_ns'])} for it"
    return text + ". Load the library with CDLL, not PyDLL, or release the GIL in the extension (nogil)."


def _threads(f: Figures) -> str:
    return (
        f"{f['threads']} threads compute on a budget of {f['budget_threads']} (limited by {f['limited_by']}): they wait"
        f" for each other at every barrier. Set n_threads to {f['budget_threads']}."
    )


def _disk(f: Figures) -> str:
    return (
        f"{byte_text(f['read_bytes'])} came from the disk while generating: the model doesn't stay in memory. Make room,"
        " take a smaller model, or lock it (--load-mode mmap+mlock)."
    )


def _load_mode(f: Figures) -> str:
    name = safe_text(PurePath(f["file"]).name)
    return f"{name} was to be loaded with {f['asked']}, in force is {f['in_force']}."


def _mlock(f: Figures) -> str:
    return (
        f"mlock failed {count_text(f['failed_calls'])} times: nothing is locked. Raise the limit (ulimit -l)."
    )


def _binding(f: Figures) -> str:
    return (
        f"Python takes {f['python_us_per_token']:.0f} of {f['token_us']:.0f} µs per token ({f['share']:.0%}) between the"
        " calls. Look at what runs there: sampling in Python, logits processors, detokenizing, logging."
    )


def _gpu(f: Figures) -> str:
    return (
        f"The machine has {', '.join(map(safe_text, f['device_nodes'][:2]))}, the program opened none: it computes on the"
        " CPU. Build or install the binding for the GPU; `llamactl inspect` says what is missing."
    )


def _copies(f: Figures) -> str:
    listed = ", ".join(safe_text(path) for path in f["libraries"][:3])
    return (
        f"{len(f['libraries'])} copies of llama.cpp are loaded ({listed}). Keep one: they don't share models."
    )


def _openmp(f: Figures) -> str:
    return (
        f"Two OpenMP runtimes are loaded ({', '.join(f['runtimes'])}): each has its own threads, which get in each"
        " other's way. Build with the same compiler, or without OpenMP (GGML_OPENMP=OFF)."
    )


def _memory(f: Figures) -> str:
    return (
        f"Memory grew by {byte_text(f['grown_bytes'])} over {f['requests']} requests,"
        f" {byte_text(f['per_request_bytes'])} each. Look for contexts or batches that aren't freed."
    )


def _temporary(f: Figures) -> str:
    listed = ", ".join(safe_text(name) for name in f["files"][:3])
    return (
        f"Temporary files were left behind: {listed} ({byte_text(f['written_bytes'])} written). Remove them."
    )


SENTENCES: dict[FindingKind, Callable[[Figures], str]] = {
    FindingKind.GIL_HELD: _gil_held,
    FindingKind.THREADS_OVER_BUDGET: _threads,
    FindingKind.DISK_WHILE_GENERATING: _disk,
    FindingKind.LOAD_MODE: _load_mode,
    FindingKind.MLOCK_FAILED: _mlock,
    FindingKind.BINDING_OVERHEAD: _binding,
    FindingKind.GPU_UNUSED: _gpu,
    FindingKind.ENGINE_COPIES: _copies,
    FindingKind.OPENMP_RUNTIMES: _openmp,
    FindingKind.MEMORY_GROWS: _memory,
    FindingKind.TEMPORARY_FILES: _temporary,
}


def finding_text(finding: Finding) -> str:
    """Return a finding as one sentence or two."""
    text = SENTENCES[finding.kind](finding.figures)
    return f"{text} At {place_text(finding.place)}." if finding.place else text


def findings_text(findings: Sequence[Finding]) -> str:
    """Return all findings, wrapped to 80 columns; empty without any."""
    if not findings:
        return ""
    head = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    parts = [head]
    for finding in findings:
        parts += textwrap.wrap(
            finding_text(finding), WIDTH, initial_indent=" ", subsequent_indent="   ", break_on_hyphens=False
        )
    return "\n".join(parts) + "\n"
