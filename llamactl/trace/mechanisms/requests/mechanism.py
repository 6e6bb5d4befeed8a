"""Requests: what their prompts computed and took from the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings import requests
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.requests.request_rows import RequestRow, recomputed, request_rows
from llamactl.trace.mechanisms.table import Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


@dataclass(frozen=True)
class RequestFacts:
    """The prompts that were seen through calls."""

    requests: list[RequestRow]


class Requests(Mechanism[RequestFacts]):
    """What prompts cost."""

    name = "requests"
    title = "Requests"
    explanation = (
        "A prompt's tokens are computed once and stay in the context's cache. A prompt that begins like the last one"
        " takes that beginning from there; from the first token that differs on everything is computed again."
    )
    facts = RequestFacts
    tables = (
        Table("requests", "Requests: what their prompts computed and took from the cache", RequestRow, (
            Column("name", "request", width=14), Column("pid"), Column("begin_s", "at s"),
            Column("prompt_s", "prompt s"), Column("computed_tokens", "computed"),
            Column("reused_tokens", "reused"), Column("dropped_tokens", "thrown out"), Column("count", "tokens"),
        )),
    )  # fmt: skip
    looks = requests.LOOKS

    def draw(self, drawn: Drawn) -> RequestFacts:  # noqa: ARG002 - from the calls alone
        """Return the prompts."""
        found = self.scene.exchange
        return RequestFacts(request_rows(found.requests, self.scene.begin_ns) if found else [])

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict | None:
        """Say whether a prompt was computed again; no row where no prompt was seen."""
        if report.exchange is None or not report.requests:
            return None
        if recomputed(report.exchange.requests) is not None:
            return attention("RECOMPUTED")
        return OK if any(row.computed_tokens is not None for row in report.requests) else UNUSED
