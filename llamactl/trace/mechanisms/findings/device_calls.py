"""Findings on what the program asks of its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.capture.engine_calls import LOADS
from llamactl.trace.mechanisms.findings.arguments import last_argument
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look
from llamactl.trace.mechanisms.gpu.device_errors import OUT_OF_MEMORY

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

SHORT_WAITS_SHARE = 0.1
MANY_WAITS = 4
"""One wait a token is for its result. Waits that find the device idle cost their calls alone: together they must take
this share of the token to be worth a word."""
PAGEABLE_SHARE = 0.02


def _errors(report: TraceReport) -> Iterator[Finding]:
    facts = report.device_calls
    for one in facts.errors if facts is not None else ():
        figures = {"function": one.name, "code": one.code, "what": one.what, "calls": one.count}
        memory = {"asked_bytes": one.asked_bytes, "out_of_memory": one.code in OUT_OF_MEMORY}
        yield Finding(FindingKind.DEVICE_ERRORS, None, {**figures, **memory})


def _idle(report: TraceReport) -> Iterator[Finding]:
    """Layers were asked for, tokens were made, and no kernel was launched."""
    facts = report.device_calls
    if facts is None or report.exchange is None or not facts.complete:
        return
    layers = last_argument(report.exchange, LOADS, "n_gpu_layers")
    asked = layers is None or layers != 0
    work = sum(row.kernels + row.library_calls + row.graph_launches for row in report.device_phases)
    if asked and not work and len(report.exchange.tokens):
        yield Finding(
            FindingKind.DEVICE_IDLE, None, {"families": list(facts.families), "layers_asked": layers}
        )


def _waits(report: TraceReport) -> Iterator[Finding]:
    facts = report.device_calls
    token = facts.token if facts is not None else None
    if token is None or token.waits < MANY_WAITS or not report.exchange:
        return
    length = float(report.exchange.tokens.length_ns.mean())
    if token.short_waits_ns > SHORT_WAITS_SHARE * length:
        figures = {"waits_per_token": token.waits, "short_waits_ns_per_token": token.short_waits_ns}
        cost = round(token.short_waits_ns * token.tokens)
        yield Finding(FindingKind.DEVICE_WAITS, cost, {**figures, "token_ns": length})


def _pageable(report: TraceReport) -> Iterator[Finding]:
    facts = report.device_calls
    token = facts.token if facts is not None else None
    if token is None or not token.pageable_out_bytes or not report.exchange:
        return
    length = float(report.exchange.tokens.length_ns.mean())
    if token.pageable_out_ns > PAGEABLE_SHARE * length:
        figures = {"bytes_per_token": token.pageable_out_bytes, "copy_ns_per_token": token.pageable_out_ns}
        yield Finding(FindingKind.DEVICE_PAGEABLE, round(token.pageable_out_ns * token.tokens), figures)


LOOKS: tuple[Look, ...] = (_errors, _idle, _waits, _pageable)
