"""What is worth changing: only what was measured, each with its figures, the most costly first.

A finding is data; :mod:`llamactl.render.trace_findings` writes its sentence and its remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.analysis.buffers import Verdict
from llamactl.trace.analysis.crossings import LOGITS
from llamactl.trace.analysis.exchange import Place
from llamactl.trace.analysis.exchange_facts import ExchangeFacts
from llamactl.trace.analysis.gil import GilVerdict
from llamactl.trace.analysis.gpu_calls import GPU_NODES, gpu_reasons
from llamactl.trace.analysis.wrong_library import wrong_libraries

if TYPE_CHECKING:
    from llamactl.trace.analysis.report import TraceReport

PYTHON_SHARE = 0.10
"""A binding that takes more of a token than this is named."""
HELD_NS = 5_000_000
"""CPython's switch interval: a computing call that holds the GIL longer keeps other threads waiting."""
DISK_FLOOR_BYTES = 2**20
"""Libraries and locales are read late, too: less than this isn't the model."""
CONTEXTS = ("llama_init_from_model", "llama_new_context_with_model", "llama_set_n_threads")
LOADS = ("llama_model_load_from_file", "llama_load_model_from_file")
LOAD_MODES = {0: "none", 1: "mmap", 2: "mlock", 3: "mmap+mlock", 4: "dio"}
OPENMP = (b"libgomp", b"libomp.", b"libiomp")


class FindingKind(Enum):
    """What was found; the value is its name in JSON."""

    GIL_HELD = "gil-held"
    EVENT_LOOP_BLOCKED = "event-loop-blocked"
    THREADS_OVER_BUDGET = "threads-over-budget"
    DISK_WHILE_GENERATING = "disk-while-generating"
    LOAD_MODE = "load-mode"
    MLOCK_FAILED = "mlock-failed"
    BINDING_OVERHEAD = "binding-overhead"
    LOGITS_COPIED = "logits-copied"
    LOGITS_STALE = "logits-stale"
    GPU_UNUSED = "gpu-unused"
    ENGINE_COPIES = "engine-copies"
    WRONG_LIBRARY = "wrong-library"
    SPINNING = "spinning"
    OPENMP_RUNTIMES = "openmp-runtimes"
    MEMORY_GROWS = "memory-grows"
    TEMPORARY_FILES = "temporary-files"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        kind: What.
        cost_ns: The time it cost in this recording, where that is known; the rank.
        figures: The measured facts, by name, with units in the names.
        place: (file, line, function) in Python, where one is to blame: the innermost, such as the binding's.
        caller: Where that was called from, outside of all installed packages; None where it is the same.
    """

    kind: FindingKind
    cost_ns: int | None
    figures: dict[str, Any] = field(default_factory=dict)
    place: Place | None = None
    caller: Place | None = None


def find(report: TraceReport) -> list[Finding]:
    """Return the findings of a report, the most costly first; those without a cost keep their order."""
    found = [finding for look in LOOKS for finding in look(report)]
    return sorted(found, key=lambda finding: -(finding.cost_ns or 0))


def _gil_held(report: TraceReport) -> Iterator[Finding]:
    facts = report.exchange
    if facts is None or facts.gil.verdict not in {GilVerdict.HELD, GilVerdict.MIXED}:
        return
    for row in facts.gil.functions:
        if (
            row.name in {"llama_decode", "llama_encode", "llama_process"}
            and (row.longest_hold_ns or 0) > HELD_NS
        ):
            function = next(item for item in facts.functions if item.name == row.name)
            yield Finding(
                FindingKind.GIL_HELD,
                row.total_hold_ns,
                {
                    "function": row.name,
                    "held": row.held,
                    "count": row.count,
                    "longest_ns": row.longest_hold_ns,
                    "stalled_ns": row.stalled_ns,
                },
                next(iter(function.places), None),
                next(iter(function.callers), None),
            )


def _event_loop(report: TraceReport) -> Iterator[Finding]:
    for loop in report.blocked_loops[:1]:
        figures = {"tid": loop.tid, "gaps": loop.gaps, "longest_ns": loop.longest_ns, "in_c_ns": loop.in_c_ns}
        yield Finding(FindingKind.EVENT_LOOP_BLOCKED, loop.total_ns, figures, loop.place)


def _threads(report: TraceReport) -> Iterator[Finding]:
    budget = (report.metadata.get("cpu_budget") or {}).get("threads")
    asked = _last_argument(report.exchange, CONTEXTS, "n_threads")
    if budget and asked and asked > budget:
        yield Finding(
            FindingKind.THREADS_OVER_BUDGET,
            None,
            {
                "threads": asked,
                "budget_threads": budget,
                "limited_by": report.metadata["cpu_budget"].get("limited_by"),
            },
        )


def _last_argument(facts: ExchangeFacts | None, names: tuple[str, ...], label: str) -> int | None:
    if facts is None:
        return None
    keeping = {row.name for row in facts.exchange.functions if row.position(label) is not None}
    calls = facts.exchange.calls[facts.exchange.named(*keeping.intersection(names))]
    values = facts.exchange.argument(calls, label) if len(calls) else None
    if values is None:
        return None
    return int(np.int32(np.uint32(int(values[-1]) & 0xFFFFFFFF)))


def _disk(report: TraceReport) -> Iterator[Finding]:
    generating = next((row.disk.least for row in report.disk if row.name == "generate"), None)
    major = sum(row.major_faults or 0 for row in report.load)
    if generating is not None and generating > DISK_FLOOR_BYTES:
        yield Finding(
            FindingKind.DISK_WHILE_GENERATING,
            None,
            {"read_bytes": generating, "major_faults_on_model": major},
        )


def _load_mode(report: TraceReport) -> Iterator[Finding]:
    asked = LOAD_MODES.get(_last_argument(report.exchange, LOADS, "load_mode") or -1)
    names = {"read": "none", "direct": "dio"}
    for row in report.load:
        in_force = names.get(row.mode, row.mode)
        if asked and in_force not in {"unknown", asked}:
            yield Finding(
                FindingKind.LOAD_MODE, None, {"asked": asked, "in_force": in_force, "file": row.name}
            )


def _mlock(report: TraceReport) -> Iterator[Finding]:
    failed = sum(row.errors for row in report.calls if row.name in {"mlock", "mlock2", "mlockall"})
    if failed:
        yield Finding(FindingKind.MLOCK_FAILED, None, {"failed_calls": failed})


def _binding(report: TraceReport) -> Iterator[Finding]:
    facts = report.exchange
    # Between the calls of a module with llama.cpp inside runs its own code, not Python's.
    if facts is None or not len(facts.tokens) or facts.calls_inside:
        return
    python, length = int(facts.tokens.python_ns.sum()), int(facts.tokens.length_ns.sum())
    if length and python / length > PYTHON_SHARE:
        yield Finding(
            FindingKind.BINDING_OVERHEAD,
            python,
            {
                "tokens": len(facts.tokens),
                "python_us_per_token": python / len(facts.tokens) / 1e3,
                "token_us": length / len(facts.tokens) / 1e3,
                "share": python / length,
            },
            *_busiest_places(facts),
        )


def _busiest_places(facts: ExchangeFacts) -> tuple[Place | None, Place | None]:
    row = next((item for item in facts.functions if item.name == "llama_decode"), None)
    return (next(iter(row.places), None), next(iter(row.callers), None)) if row else (None, None)


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


def _gpu(report: TraceReport) -> Iterator[Finding]:
    devices = report.metadata.get("gpu_nodes") or []
    opened = any(row.opens and row.name.startswith(GPU_NODES) for row in report.files)
    if devices and not opened and report.exchange is not None:
        why = gpu_reasons(report.files, _last_argument(report.exchange, LOADS, "n_gpu_layers"))
        yield Finding(
            FindingKind.GPU_UNUSED, None, {"device_nodes": list(devices), "why": [one.value for one in why]}
        )


def _spinning(report: TraceReport) -> Iterator[Finding]:
    spin = report.spinning
    if spin is not None:
        yield Finding(
            FindingKind.SPINNING,
            None,
            {"threads": spin.threads, "spun_ns": spin.spun_ns, "between_calls_ns": spin.between_calls_ns},
        )


def _wrong_library(report: TraceReport) -> Iterator[Finding]:
    for loaded, own, place in wrong_libraries(report.exchange.exchange) if report.exchange else ():
        yield Finding(FindingKind.WRONG_LIBRARY, None, {"loaded": loaded, "own": own}, place)


def _copies(report: TraceReport) -> Iterator[Finding]:
    if report.exchange is not None and len(report.exchange.copies) > 1:
        yield Finding(FindingKind.ENGINE_COPIES, None, {"libraries": report.exchange.copies})


def _openmp(report: TraceReport) -> Iterator[Finding]:
    kinds = {
        kind.decode().rstrip(".")
        for row in report.files
        for kind in OPENMP
        if row.mapped_bytes and row.name.rpartition(b"/")[2].startswith(kind)
    }
    if len(kinds) > 1:
        yield Finding(FindingKind.OPENMP_RUNTIMES, None, {"runtimes": sorted(kinds)})


def _memory(report: TraceReport) -> Iterator[Finding]:
    growth = report.memory_growth
    if growth is not None:
        yield Finding(
            FindingKind.MEMORY_GROWS,
            None,
            {
                "requests": growth.requests,
                "grown_bytes": growth.grown_bytes,
                "per_request_bytes": growth.per_request_bytes,
            },
        )


def _temporary(report: TraceReport) -> Iterator[Finding]:
    left = [row for row in report.files if row.temporary and not row.removed]
    if left:
        yield Finding(
            FindingKind.TEMPORARY_FILES,
            None,
            {
                "files": [row.name.decode("utf-8", "backslashreplace") for row in left],
                "written_bytes": sum(row.written_bytes for row in left),
            },
        )


LOOKS: tuple[Callable[[TraceReport], Iterator[Finding]], ...] = (
    _gil_held, _event_loop, _threads, _disk, _load_mode, _mlock, _binding, _logits, _gpu, _copies, _wrong_library,
    _openmp, _spinning, _memory, _temporary,
)  # fmt: skip
"""A new finding is a function here and its sentence in ``render/trace_findings.py``."""
