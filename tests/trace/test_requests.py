"""Which decode is a prompt's and which a token's, and what each request computed and found in the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from capture_of_tokens import metadata

from llamactl.render.trace.findings.text import finding_text
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.report import TraceReport, analyse
from llamactl.trace.mechanisms.requests.requests import Request

Build = Callable[..., Capture]

KEEPS = {
    "llama_init_from_model": "n_ctx:i n_batch:i n_threads:2 +",
    "llama_get_memory": "context:p -",
    "llama_memory_clear": "memory:p -",
    "llama_memory_seq_rm": "memory:p sequence:i from:i to:i -",
    "llama_tokenize": "text_bytes:i tokens:p room:i text:p -",
    "llama_decode": "context:p n_tokens:i tokens:p +",
    "llama_sampler_sample": "sampler:p context:p index:i -",
    "llama_state_set_data": "context:p buffer:p size:u +",
    "llama_sampler_init_grammar": "-",
}
NAMES = list(KEEPS)
CONTEXT, MEMORY = 0x1000, 0x2000
ALL = (1 << 64) - 1


class Program:
    """Writes the calls of one thread, each a millisecond long."""

    def __init__(self, out: Any, made: bool = True) -> None:
        self._out, self._at = out, 1000
        if made:
            self.call("llama_init_from_model", 512, 512, 1 | 1 << 32, ret=CONTEXT)
            self.call("llama_get_memory", CONTEXT, ret=MEMORY)

    def call(self, name: str, *args: int, ret: int = 0, us: int = 1000, tid: int = 1000) -> None:
        """Make a call."""
        self._out.add(
            Kind.CALL, self._at, nr=NAMES.index(name), args=args, ret=ret, duration=us * 1000, tid=tid
        )
        self._at += us + 10

    def cut(self, first: int) -> None:
        """Take everything from a position on out of the cache, as bindings do before a prompt."""
        self.call("llama_memory_seq_rm", MEMORY, ALL, first, ALL, ret=1)

    def prompt(self, *batches: int) -> None:
        """Compute a prompt in batches, and take its result."""
        for count in batches:
            self.call("llama_decode", CONTEXT, count, 0)
        self.call("llama_sampler_sample", 9, CONTEXT, ALL)

    def tokens(self, count: int) -> None:
        """Make tokens."""
        for _ in range(count):
            self.prompt(1)


def reported(build: Build, fill: Callable[[Any], None]) -> TraceReport:
    table = [
        Function(name, "/p/_ctypes.so", "/l/libllama.so", "dlsym", *parse_keeps(text), "i").to_metadata()
        for name, text in KEEPS.items()
    ]
    return analyse(build(fill, **metadata(functions=NAMES, function_table=table)))


def requests_of(report: TraceReport) -> list[Request]:
    assert report.exchange is not None
    return report.exchange.requests


def counts(report: TraceReport) -> tuple[int | None, int | None]:
    """How many prompts and tokens the head of the report says."""
    begun = {row.name: row.intervals for row in report.phases}
    return begun.get("prefill"), begun.get("decode")


def test_what_is_left_of_a_prompt_in_the_cache_is_no_token(build: Build) -> None:
    """24 requests with one prompt: after the first one, a single token of it has to be computed."""

    def fill(out: Any) -> None:
        program = Program(out)
        for request in range(24):
            program.call("llama_tokenize", 20, 0, 99, 0, ret=7)
            if request:
                program.cut(6)
            program.prompt(1 if request else 7)
            program.tokens(3)

    report = reported(build, fill)
    assert counts(report) == (24, 72)
    found = requests_of(report)
    assert [(one.computed, one.reused, one.dropped) for one in found[:2]] == [(7, 0, 0), (1, 6, 4)]
    assert {one.tokens for one in found} == {3}


def test_a_prompt_in_several_batches_is_one_prompt(build: Build) -> None:
    """The last batch has a single token: nobody took anything out of the context before it."""

    def fill(out: Any) -> None:
        program = Program(out)
        program.call("llama_tokenize", 20, 0, 99, 0, ret=9)
        program.prompt(4, 4, 1)
        program.tokens(5)

    report = reported(build, fill)
    assert counts(report) == (1, 5)
    assert [(one.computed, one.reused) for one in requests_of(report)] == [(9, 0)]


def test_without_any_call_that_tells_a_single_token_is_a_token(build: Build) -> None:
    """Logits are read through a pointer that was asked for before: nothing is taken between the decodes."""

    def fill(out: Any) -> None:
        program = Program(out, made=False)
        for count in (6, 1, 1, 1, 1):
            program.call("llama_decode", CONTEXT, count, 0)

    assert counts(reported(build, fill)) == (1, 4)


def test_a_program_that_tokenizes_at_each_token_still_makes_tokens(build: Build) -> None:
    def fill(out: Any) -> None:
        program = Program(out)
        program.prompt(6)
        for _ in range(10):
            program.call("llama_tokenize", 3, 0, 9, 0, ret=1)
            program.tokens(1)

    report = reported(build, fill)
    assert counts(report) == (1, 10)
    assert report.exchange is not None
    assert len(report.exchange.tokens) == 9


def test_one_token_of_each_of_several_sequences_is_no_prompt(build: Build) -> None:
    """A batch of four sequences, as a program makes it that answers four at once through llama_decode."""

    def fill(out: Any) -> None:
        program = Program(out)
        program.call("llama_decode", CONTEXT, 40, 0)
        for _ in range(6):
            for sequence in range(4):
                program.call("llama_sampler_sample", 9, CONTEXT, sequence)
            program.call("llama_decode", CONTEXT, 4, 0)
        for sequence in range(4):
            program.call("llama_sampler_sample", 9, CONTEXT, sequence)

    report = reported(build, fill)
    assert counts(report) == (1, 6)
    assert report.exchange is not None
    assert report.exchange.batched
    assert report.exchange.per_token.batch_tokens == 4
    assert [(one.computed, one.reused) for one in requests_of(report)] == [(40, None)]


def test_a_full_context_that_is_shifted_begins_no_request(build: Build) -> None:
    def fill(out: Any) -> None:
        program = Program(out)
        program.prompt(6)
        program.tokens(4)
        program.call("llama_memory_seq_rm", MEMORY, 0, 2, 5, ret=1)
        program.tokens(4)

    assert counts(reported(build, fill)) == (1, 8)


def test_what_a_loaded_state_holds_is_unknown(build: Build) -> None:
    def fill(out: Any) -> None:
        program = Program(out)
        program.call("llama_state_set_data", CONTEXT, 0, 0, ret=100)
        program.prompt(6)
        program.tokens(2)

    assert [(one.computed, one.reused) for one in requests_of(reported(build, fill))] == [(6, None)]


def test_of_a_context_that_was_there_before_the_cache_is_unknown_until_it_is_cleared(build: Build) -> None:
    def fill(out: Any) -> None:
        program = Program(out, made=False)
        program.prompt(6)
        program.tokens(2)
        program.call("llama_memory_clear", MEMORY, 1)
        program.prompt(6)
        program.tokens(2)

    assert [one.reused for one in requests_of(reported(build, fill))] == [None, 0]


def conversation(build: Build, *, same: int) -> TraceReport:
    """Four turns whose prompts grow by 20 tokens, and are alike for so many tokens only, 0 for all."""

    def fill(out: Any) -> None:
        program, held = Program(out), 0
        for turn in range(4):
            prompt = 200 + 20 * turn
            kept = min(same or held, held)
            if turn:
                program.cut(kept)
            program.prompt(prompt - kept)
            program.tokens(3)
            held = prompt + 3

    return reported(build, fill)


def test_a_growing_prompt_that_is_computed_again_is_told(build: Build) -> None:
    found = {one.kind: one for one in find(conversation(build, same=12))}
    figures = found[FindingKind.PROMPT_RECOMPUTED].figures
    assert (figures["requests"], figures["of_requests"], figures["same_tokens"]) == (3, 3, 12)
    assert figures["computed_tokens"] == 208 + 228 + 248
    assert "its first 12 tokens" in finding_text(found[FindingKind.PROMPT_RECOMPUTED])


def test_a_conversation_that_goes_on_from_the_cache_is_not(build: Build) -> None:
    report = conversation(build, same=0)
    assert FindingKind.PROMPT_RECOMPUTED not in {one.kind for one in find(report)}
    assert [row.reused_tokens for row in report.requests] == [0, 203, 223, 243]


@pytest.mark.parametrize("grammar", [True, False])
def test_samplers_that_take_long_are_told_and_a_grammar_named(build: Build, grammar: bool) -> None:
    def fill(out: Any) -> None:
        program = Program(out)
        if grammar:
            program.call("llama_sampler_init_grammar", ret=0x77)
        program.prompt(6)
        for _ in range(10):
            program.call("llama_decode", CONTEXT, 1, 0, us=1000)
            program.call("llama_sampler_sample", 9, CONTEXT, ALL, us=1500)

    found = {one.kind: one for one in find(reported(build, fill))}
    finding = found[FindingKind.SAMPLER_SLOW]
    assert finding.figures["share"] == pytest.approx(0.6, abs=0.02)
    assert ("grammar" in finding_text(finding)) is grammar
