"""Work that a decode starts on a device belongs to that decode, in whatever call it is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from device_capture import metadata, token

from llamactl.render.trace.report import head_text
from llamactl.trace.capture.reader import Capture
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.mechanisms.slow.slow_causes import Cause

Build = Callable[..., Capture]
LAUNCH, WAIT, OWN = 500, 8_000, 200
"""µs: what a decode takes to start the work, the device to do it, and the waiting call for itself."""


def report_of(build: Build, by: str, waits: list[int], *, waits_seen: bool = True) -> TraceReport:
    """A prompt, then one token for each wait."""

    def fill(out: Any) -> None:
        at = token(out, 10_000, by=by, launch_us=LAUNCH, wait_us=waits[0], own_us=OWN, n_tokens=6)
        for wait in waits:
            at = token(out, at + 300, by=by, launch_us=LAUNCH, wait_us=wait, own_us=OWN)

    return analyse(build(fill, **metadata(waits_seen=waits_seen)))


@pytest.mark.parametrize("by", ["llama_sampler_sample", "llama_get_logits_ith", "llama_synchronize"])
def test_the_decode_has_its_work_whoever_waits(build: Build, by: str) -> None:
    report = report_of(build, by, [WAIT] * 6)
    facts = report.exchange
    assert facts is not None
    assert facts.per_token.decode_us == pytest.approx(LAUNCH + WAIT)
    assert facts.per_token.awaited_us == pytest.approx(WAIT)
    assert facts.per_token.in_c_us == pytest.approx(LAUNCH + WAIT + OWN)
    phases = {row.name: row for row in report.phases}
    assert phases["decode"].wall_s == pytest.approx(6 * (LAUNCH + WAIT) / 1e6)
    assert phases["prefill"].wall_s == pytest.approx((LAUNCH + WAIT) / 1e6)
    assert (phases["decode"].intervals, phases["prefill"].intervals) == (6, 1)
    assert [name for name, _ in phases["decode"].awaited] == [by]
    short = by.removeprefix("llama_").removeprefix("sampler_")
    assert f"decode 51 ms (waited for in {short})" in head_text(report).replace("\n ", "")


def test_a_sampler_that_waits_is_not_a_slow_sampler(build: Build) -> None:
    report = report_of(build, "llama_sampler_sample", [WAIT] * 6)
    assert report.sampler_share is not None
    assert report.sampler_share.sampler_ns == 5 * OWN * 1000
    assert FindingKind.SAMPLER_SLOW not in {finding.kind for finding in find(report)}


def test_a_sampler_that_is_slow_beside_a_device_still_is_one(build: Build) -> None:
    def fill(out: Any) -> None:
        at = 10_000.0
        for n_tokens in (6, 1, 1, 1, 1, 1):
            at = token(out, at + 300, by="llama_sampler_sample", launch_us=500, wait_us=1000, own_us=9000,
                       n_tokens=n_tokens)  # fmt: skip

    report = analyse(build(fill, **metadata()))
    assert FindingKind.SAMPLER_SLOW in {finding.kind for finding in find(report)}


def test_a_slow_token_waited_for_the_device(build: Build) -> None:
    report = report_of(build, "llama_sampler_sample", [WAIT] * 5 + [WAIT * 5] + [WAIT] * 3)
    (slow,) = report.slow_tokens
    assert slow.cause is Cause.GPU
    assert slow.evidence == (("ns waiting for what the decode started", 5 * WAIT * 1000),)


def test_calls_caught_from_outside_tell_waiting_by_the_first_that_hands_out_the_result(build: Build) -> None:
    facts = report_of(build, "llama_get_logits_ith", [WAIT] * 6, waits_seen=False).exchange
    assert facts is not None
    assert facts.exchange.awaited.exact is False
    assert facts.per_token.decode_us == pytest.approx(LAUNCH + WAIT + OWN)


def test_nobody_waits_where_the_cpu_computes(build: Build) -> None:
    report = report_of(build, "llama_sampler_sample", [0] * 6)
    facts = report.exchange
    assert facts is not None
    assert facts.per_token.decode_us == pytest.approx(LAUNCH)
    assert facts.per_token.awaited_us == 0
    assert all(not row.awaited for row in report.phases)


def test_the_prompt_and_the_first_token_are_there_when_the_device_is_done(build: Build) -> None:
    report = report_of(build, "llama_sampler_sample", [WAIT] * 3)
    (request,) = report.requests
    assert request.prompt_s == pytest.approx((LAUNCH + 100 + 1 + WAIT) / 1e6)
    assert report.first_token is not None
    assert report.first_token.total_s == pytest.approx((LAUNCH + 100 + WAIT + OWN) / 1e6)
    assert dict(report.first_token.parts)["prefill"] == pytest.approx((LAUNCH + WAIT) / 1e6)


def test_what_the_engine_asks_of_itself_is_no_call_of_the_program(build: Build) -> None:
    report = report_of(build, "llama_sampler_sample", [WAIT] * 6)
    assert {row.name for row in report.functions} == {"llama_decode", "llama_sampler_sample"}
    assert report.exchange is not None
    assert [one.kind.value for one in report.exchange.bindings] == ["ctypes"]
