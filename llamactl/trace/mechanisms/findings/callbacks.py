"""Findings on Python that llama.cpp calls in the middle of a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look
from llamactl.trace.mechanisms.interface.exchange import durations, outermost

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts
    from llamactl.trace.mechanisms.report import TraceReport

SHARE = 0.05
"""Of the time inside llama.cpp; less isn't worth a sentence."""
LEAST_NS = 1_000_000


def _called_back(report: TraceReport) -> Iterator[Finding]:
    facts = report.exchange
    if facts is None or not facts.callbacks:
        return
    inside = _inside_ns(facts)
    for row in facts.callbacks:
        function = next((one for one in facts.functions if one.name == row.name), None)
        whole = function.total_ns if function is not None and function.total_ns else row.total_ns
        if row.total_ns < LEAST_NS or row.total_ns < SHARE * inside:
            continue
        yield Finding(
            FindingKind.PYTHON_CALLED_BACK,
            row.total_ns,
            {
                "function": row.name,
                "count": row.count,
                "total_ns": row.total_ns,
                "mean_ns": row.total_ns / row.count,
                "share_of_function": row.total_ns / whole,
                "lists": row.lists,
                "list_elements": row.list_elements,
            },
            next(iter(row.places), None),
            next(iter(row.callers), None),
        )


def _inside_ns(facts: ExchangeFacts) -> int:
    """Return the time inside of calls while tokens are made, or of all calls where none are."""
    if len(facts.tokens):
        return int(facts.tokens.in_c_ns.sum() + facts.tokens.called_back_ns.sum())
    calls = facts.exchange.calls
    return int(durations(calls[outermost(calls)]).sum())


LOOKS: tuple[Look, ...] = (_called_back,)
