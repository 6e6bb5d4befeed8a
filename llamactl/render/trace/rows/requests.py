"""The report's row about requests: what their prompts computed and took from the cache."""

from __future__ import annotations

from collections.abc import Iterator

from llamactl.render.trace.text import count_text, counted, time_text
from llamactl.trace.mechanisms.report import TraceReport


def requests(report: TraceReport) -> Iterator[str]:
    """What prompts cost."""
    rows = report.requests
    computed = [row.computed_tokens for row in rows]
    told = [count for count in computed if count is not None]
    most = "" if len(told) == len(rows) else "at least "
    yield (
        f"{counted(len(rows), 'prompt')}: {most}{counted(sum(told), 'token')} computed in"
        f" {time_text(sum(row.prompt_s for row in rows) * 1e9)}"
    )
    reused = [row.reused_tokens for row in rows if row.reused_tokens is not None]
    if len(reused) < len(rows):
        yield f"from the cache: unknown for {count_text(len(rows) - len(reused))} of them"
    if sum(reused):
        yield f"{counted(sum(reused), 'token')} taken from the cache"
