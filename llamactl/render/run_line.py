"""The figures of a run on one line."""

from __future__ import annotations

from llamactl.render.units import rate, seconds, size
from llamactl.run.report import RunReport


def run_line(report: RunReport) -> str:
    """Return the line that ``llamactl run`` ends with on stderr."""
    times, memory = report.timings, report.memory
    parts = [
        f"load {seconds(times.load_ns + times.context_ns)}",
        f"prompt {report.n_prompt_tokens} tok {_prefill(report)}",
        _generated(report),
        f"first token {seconds(times.time_to_first_token_ns)}",
        f"memory {size(memory.private_bytes)} private, {size(memory.model.resident_bytes)} of the model",
    ]
    if report.finish_reason in {"context", "interrupted"}:
        parts.append({"context": "context full", "interrupted": "interrupted"}[report.finish_reason])
    return " | ".join(parts)


def _prefill(report: RunReport) -> str:
    taken = report.timings.prefill_ns
    return "unfinished" if taken is None else seconds(taken)


def _generated(report: RunReport) -> str:
    text = f"{report.n_tokens} tok"
    speed = report.timings.tokens_per_second
    return f"{text}, {rate(speed, 'tok')}" if speed is not None else text
