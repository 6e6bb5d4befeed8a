"""Sentences on what `trace/analysis/findings/memory.py` finds."""

from __future__ import annotations

from llamactl.render.findings.sentence import Figures, Sentence
from llamactl.render.trace_text import byte_text, count_text
from llamactl.trace.analysis.findings.finding import FindingKind


def _mlock(f: Figures) -> str:
    return (
        f"mlock failed {count_text(f['failed_calls'])} times: nothing is locked. Raise the limit (ulimit -l)."
    )


def _memory(f: Figures) -> str:
    return (
        f"Memory of process {f['pid']} grew by {byte_text(f['grown_bytes'])} over {f['requests']} requests,"
        f" {byte_text(f['per_request_bytes'])} each. If it goes on:"
        " are contexts, batches or caches kept?"
    )


SENTENCES: dict[FindingKind, Sentence] = {
    FindingKind.MLOCK_FAILED: _mlock,
    FindingKind.MEMORY_GROWS: _memory,
}
