"""The report's row about requests: what their prompts computed and took from the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llamactl.render.trace.mechanism import NONE, OK, Mechanism
from llamactl.render.trace.text import count_text, counted, time_text
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.requests.request_rows import RequestRow, recomputed


def requests(report: TraceReport) -> Mechanism | None:
    """What prompts cost; None where no prompt was seen through calls."""
    if report.exchange is None or not report.requests:
        return None
    explanation = (
        "A prompt's tokens are computed once and stay in the context's cache. A prompt that begins like the last one"
        " takes that beginning from there; from the first token that differs on everything is computed again."
    )
    again = recomputed(report.exchange.requests) is not None
    lines = tuple(_lines(report.requests))
    known = any(row.computed_tokens is not None for row in report.requests)
    return Mechanism("Requests", lines, "RECOMPUTED" if again else OK if known else NONE, explanation)


def _lines(rows: Sequence[RequestRow]) -> Iterator[str]:
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
