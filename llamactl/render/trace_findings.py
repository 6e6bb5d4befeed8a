"""Findings as sentences: the figure, the place, the remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from llamactl.render.safe import safe_text
from llamactl.render.trace_exchange import place_text
from llamactl.render.trace_text import byte_text, count_text, counted, time_text
from llamactl.trace.analysis.findings import Finding, FindingKind
from llamactl.trace.analysis.gpu_calls import GpuReason

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


def _event_loop(f: Figures) -> str:
    times = "once" if f["gaps"] == 1 else f"{count_text(f['gaps'])} times"
    return (
        f"The event loop of thread {f['tid']} didn't look for events {times}, for up to {time_text(f['longest_ns'])}:"
        f" it computed ({time_text(f['in_c_ns'])} in llama.cpp). Call llama.cpp in a thread (asyncio.to_thread)."
    )


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
        f"Python takes {time_text(f['python_us_per_token'] * 1e3)} of {time_text(f['token_us'] * 1e3)} per token"
        f" ({f['share']:.0%}) between the calls. Look at what runs there: sampling in Python, logits processors,"
        " detokenizing, logging."
    )


def _logits_copied(f: Figures) -> str:
    size = "" if f["row_bytes"] is None else f", {byte_text(f['row_bytes'])}"
    cost = f["copy_us_per_token"]
    took = "" if cost is None else f", {time_text(cost * 1e3)}"
    return (
        f"Logits are copied to a Python list: each float becomes an object{size}{took} per token. Take a view"
        " (numpy.ctypeslib.as_array), or let llama.cpp sample."
    )


def _logits_stale(f: Figures) -> str:
    return (
        f"Logits were read {count_text(f['stale_reads'])} times after a later decode had overwritten them. Use a row"
        " before the next decode, or copy it."
    )


GPU_REASONS = {
    GpuReason.REFUSED: "opening a device was refused (is the user in the groups video and render?)",
    GpuReason.NO_LAYERS: "no layers were asked for (n_gpu_layers is 0)",
    GpuReason.NO_DRIVER: "the driver's library wasn't found (libcuda and its like)",
    GpuReason.NO_BACKEND: "no GPU backend was loaded: this llama.cpp is built for the CPU",
}


def _gpu(f: Figures) -> str:
    nodes = ", ".join(map(safe_text, f["device_nodes"][:2]))
    why = " and ".join(GPU_REASONS[GpuReason(one)] for one in f.get("why", ()))
    return (
        f"The machine has {nodes}, the program opened none: it computes on the CPU"
        f"{': ' + why if why else ''}. Build or install the binding for the GPU; `llamactl inspect` says what is"
        " missing."
    )


def _spinning(f: Figures) -> str:
    return (
        f"Compute threads spin: {counted(f['threads'], 'thread')} ran or waited for a CPU for"
        f" {time_text(f['spun_ns'])} while no call was under way ({time_text(f['between_calls_ns'])}). Set"
        " OMP_WAIT_POLICY=passive (or poll=0 for llama.cpp's own threads)."
    )


def _wrong_library(f: Figures) -> str:
    return (
        f"The binding has {safe_text(f['own'])}, loaded is {safe_text(f['loaded'])}. If that wasn't meant, look at"
        " LD_LIBRARY_PATH and the binding's own settings."
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
        f" {byte_text(f['per_request_bytes'])} each. If it goes on:"
        " are contexts, batches or caches kept?"
    )


def _temporary(f: Figures) -> str:
    listed = ", ".join(safe_text(name) for name in f["files"][:3])
    return (
        f"Temporary files were left behind: {listed} ({byte_text(f['written_bytes'])} written). Remove them."
    )


SENTENCES: dict[FindingKind, Callable[[Figures], str]] = {
    FindingKind.GIL_HELD: _gil_held,
    FindingKind.EVENT_LOOP_BLOCKED: _event_loop,
    FindingKind.THREADS_OVER_BUDGET: _threads,
    FindingKind.DISK_WHILE_GENERATING: _disk,
    FindingKind.LOAD_MODE: _load_mode,
    FindingKind.MLOCK_FAILED: _mlock,
    FindingKind.BINDING_OVERHEAD: _binding,
    FindingKind.LOGITS_COPIED: _logits_copied,
    FindingKind.LOGITS_STALE: _logits_stale,
    FindingKind.GPU_UNUSED: _gpu,
    FindingKind.ENGINE_COPIES: _copies,
    FindingKind.WRONG_LIBRARY: _wrong_library,
    FindingKind.OPENMP_RUNTIMES: _openmp,
    FindingKind.SPINNING: _spinning,
    FindingKind.MEMORY_GROWS: _memory,
    FindingKind.TEMPORARY_FILES: _temporary,
}


def finding_text(finding: Finding) -> str:
    """Return a finding as one sentence or two."""
    text = SENTENCES[finding.kind](finding.figures)
    if finding.place is None:
        return text
    if finding.caller is None:
        return f"{text} Called at {place_text(finding.place)}."
    return f"{text} Called at {place_text(finding.caller)}, through {place_text(finding.place)}."


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
