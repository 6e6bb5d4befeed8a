"""Sentences on what `trace/mechanisms/findings/memory.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text, count_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _mlock(f: Figures) -> Said:
    return (
        f"mlock failed {count_text(f['failed_calls'])} times: nothing is locked.",
        "Raise the limit (ulimit -l).",
    )


def _memory(f: Figures) -> Said:
    text = (
        f"Memory of process {f['pid']} grew by {byte_text(f['grown_bytes'])} over {f['requests']} requests,"
        f" {byte_text(f['per_request_bytes'])} each."
    )
    if f["kept"]:
        listed = ", ".join(_kept(row) for row in f["kept"])
        return (
            f"{text} Meanwhile {listed}.",
            "Close what is no longer needed; objects in a cycle wait for Python's collector (gc.collect() between"
            " requests frees them).",
        )
    if f["calls_known"]:
        return (
            f"{text} No context, sampler, batch or model was made and kept meanwhile: it is the program's own memory"
            " (tracemalloc says whose), or malloc's.",
            "",
        )
    return text, "If it goes on: are contexts, samplers, batches or caches kept?"


def _kept(row: Figures) -> str:
    freed = "none" if not row["freed"] else f"only {count_text(row['freed'])}"
    return f"{count_text(row['made'])} {row['name']} were made and {freed} freed"


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.MLOCK_FAILED: _mlock,
    FindingKind.MEMORY_GROWS: _memory,
}
