"""Event loops that computing keeps from looking for events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llamactl.render.trace.findings.text import finding_text
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
DECODE = {"llama_decode": "context:p n_tokens:i tokens:p +"}
LOOP, OTHER = 1000, 1001


def capture_of(build: Build, computes_on: int, gap_us: int = 300_000, decode_us: int = 200_000) -> Capture:
    """A loop that waits for events, doesn't for ``gap_us``, and waits again; one decode meanwhile."""
    args, kept = parse_keeps(DECODE["llama_decode"])
    function = Function("llama_decode", "/p/_ctypes.so", "/l/libllama.so", "dlsym", args, kept, "i")

    def fill(out: Any) -> None:
        out.call("epoll_wait", 0, 3, 0, 1, 10, ret=1, took_us=1000, tid=LOOP)
        out.add(
            Kind.CALL, 10_000, nr=0, args=(1, 1, 0), duration=decode_us * 1000, flags=Flag.GIL_RELEASED,
            tid=computes_on, text2=b"/p/site-packages/llama_cpp/llama.py:99:eval\n/a/app.py:7:handle",
        )  # fmt: skip
        out.call("epoll_wait", 1000 + gap_us, 3, 0, 1, 10, ret=1, took_us=1000, tid=LOOP)

    return build(
        fill, functions=["llama_decode"], function_table=[function.to_metadata()], agent={"python": "3.11.7"}
    )


def test_the_loop_computes(build: Build) -> None:
    report = analyse(capture_of(build, LOOP))
    (loop,) = report.blocked_loops
    assert (loop.tid, loop.gaps) == (LOOP, 1)
    assert (loop.longest_ns, loop.in_c_ns) == (300_000_000, 200_000_000)
    finding = next(one for one in find(report) if one.kind is FindingKind.EVENT_LOOP_BLOCKED)
    assert finding.place == ("/p/site-packages/llama_cpp/llama.py", 99, "eval")
    assert finding.caller == ("/a/app.py", 7, "handle")
    assert "Called at a/app.py:7 (handle), through" in finding_text(finding)
    assert "for up to 300 ms" in finding_text(finding)


def test_another_thread_computes(build: Build) -> None:
    assert analyse(capture_of(build, OTHER)).blocked_loops == []


def test_a_short_gap_and_one_that_python_made(build: Build) -> None:
    assert analyse(capture_of(build, LOOP, gap_us=90_000, decode_us=80_000)).blocked_loops == []
    assert analyse(capture_of(build, LOOP, gap_us=300_000, decode_us=100_000)).blocked_loops == []


def test_a_caller_from_few_samples_of_cheap_calls_is_not_named(build: Build) -> None:
    function = Function("llama_vocab_bos", "/p/_ctypes.so", "/l/libllama.so", "dlsym", (), "", "i")
    inner, outer = b"/p/site-packages/llama_cpp/llama.py:99:eval", b"\n/a/app.py:7:handle"

    def callers(looked_up: int, calls: int) -> tuple[Any, ...]:
        def fill(out: Any) -> None:
            for number in range(calls):
                text = inner + outer if number < looked_up else inner
                out.add(Kind.CALL, number, nr=0, duration=100, text2=text)

        (row,) = analyse(
            build(fill, functions=["llama_vocab_bos"], function_table=[function.to_metadata()])
        ).functions
        assert row.places == (("/p/site-packages/llama_cpp/llama.py", 99, "eval"),)
        return row.callers

    assert callers(2, 70) == ()
    assert callers(20, 1280) == callers(1, 2) == (("/a/app.py", 7, "handle"),)
