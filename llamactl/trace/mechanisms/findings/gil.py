"""Findings on the GIL and on Python between the calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look
from llamactl.trace.mechanisms.gil.gil import HOLD_FLOOR_NS, GilVerdict
from llamactl.trace.mechanisms.interface.exchange import Place
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

PYTHON_SHARE = 0.10
"""A binding that takes more of a token than this is named."""


def _gil_held(report: TraceReport) -> Iterator[Finding]:
    facts = report.exchange
    if facts is None or facts.gil.verdict not in {GilVerdict.HELD, GilVerdict.MIXED}:
        return
    for row in facts.gil.functions:
        if (
            row.name in {"llama_decode", "llama_encode", "llama_process"}
            and (row.longest_hold_ns or 0) > HOLD_FLOOR_NS
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
        yield Finding(FindingKind.EVENT_LOOP_BLOCKED, loop.total_ns, figures, loop.place, loop.caller)


def _binding(report: TraceReport) -> Iterator[Finding]:
    facts = report.exchange
    # Between the calls of a module with llama.cpp inside runs its own code, not Python's.
    if facts is None or not len(facts.tokens) or facts.calls_inside:
        return
    # What llama.cpp calls back isn't between the calls; it has a finding of its own.
    between = facts.tokens.python_ns - facts.tokens.called_back_ns
    # What the thread waited for a CPU is neither Python's nor the decode's.
    python = max(int(between.sum()) - report.waited_between_calls_ns, 0)
    length = int(facts.tokens.length_ns.sum()) - report.waited_in_tokens_ns
    if length > 0 and python / length > PYTHON_SHARE:
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


LOOKS: tuple[Look, ...] = (
    _gil_held,
    _event_loop,
    _binding,
)
