"""Findings on requests: prompts that are computed again, samplers that take long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look
from llamactl.trace.mechanisms.requests.request_rows import recomputed

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

SAMPLER_SHARE = 0.25
"""Samplers that take more of a token than this are named."""


def _recomputed(report: TraceReport) -> Iterator[Finding]:
    found = recomputed(report.exchange.requests) if report.exchange is not None else None
    if found is not None:
        figures = {
            "requests": found.requests,
            "of_requests": found.of_requests,
            "computed_tokens": found.computed_tokens,
            "dropped_tokens": found.dropped_tokens,
            "same_tokens": found.same_tokens,
            "prompt_ns": found.prompt_ns,
        }
        yield Finding(FindingKind.PROMPT_RECOMPUTED, found.prompt_ns, figures)


def _sampler(report: TraceReport) -> Iterator[Finding]:
    share = report.sampler_share
    if share is not None and share.share > SAMPLER_SHARE:
        figures = {
            "tokens": share.tokens,
            "sampler_us_per_token": share.sampler_ns / share.tokens / 1e3,
            "token_us": share.token_ns / share.tokens / 1e3,
            "share": share.share,
            "grammars": share.grammars if share.grammars or not report.metadata.get("attached") else None,
        }
        yield Finding(FindingKind.SAMPLER_SLOW, share.sampler_ns, figures)


LOOKS: tuple[Look, ...] = (_recomputed, _sampler)
