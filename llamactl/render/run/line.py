"""The figures of a run on one line."""

from __future__ import annotations

from llamactl.render.safe import safe_text
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
    parts += _waits(report)
    if report.finish_reason in {"context", "interrupted"}:
        parts.append({"context": "context full", "interrupted": "interrupted"}[report.finish_reason])
    return " | ".join(parts)


def _waits(report: RunReport) -> list[str]:
    """Return that the threads had no CPU for a part of the time, and which quota did it."""
    waits = report.cpu_waits
    if waits is None or not waits.notable:
        return []
    text = f"waited for a CPU {waits.waited_share:.0%} of the time"
    if waits.group is None:
        return [text]
    quota = ""
    if waits.quota_us and waits.period_us:
        quota = f" of {waits.quota_us / waits.period_us:.3g} CPUs"
    text += f", throttled in {waits.throttled_periods} of {waits.periods} periods by the quota{quota}"
    return [f"{text} of {safe_text(waits.group)}"]


def _prefill(report: RunReport) -> str:
    taken = report.timings.prefill_ns
    return "unfinished" if taken is None else seconds(taken)


def _generated(report: RunReport) -> str:
    text = f"{report.n_tokens} tok"
    speed = report.timings.tokens_per_second
    return f"{text}, {rate(speed, 'tok')}" if speed is not None else text
