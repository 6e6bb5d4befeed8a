"""Phases: from marks and from calls into llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.order import Timeline
from llamactl.trace.mechanisms.phases import Phases, find_phases

Build = Callable[..., Capture]
BEGIN = 5_000_000_000


def phases_of(capture: Capture) -> Phases:
    return find_phases(Timeline(capture), capture.metadata)


def names_at(phases: Phases, *moments_us: int) -> list[str]:
    numbers = phases.of(np.array([BEGIN + moment * 1000 for moment in moments_us]))
    return [(*phases.names, "outside")[number] for number in numbers.tolist()]


def test_marks(build: Build) -> None:
    def fill(out: Any) -> None:
        out.phase("load", 10, 10)
        out.phase("decode", 30, 10)

    phases = phases_of(build(fill))
    assert phases.source == "phases"
    assert names_at(phases, 5, 10, 19, 20, 35, 40) == [
        "outside",
        "load",
        "load",
        "outside",
        "decode",
        "outside",
    ]
    assert phases.seconds()["load"] == 1e-5


def test_a_phase_inside_another_owns_its_time(build: Build) -> None:
    def fill(out: Any) -> None:
        out.phase("load", 0, 100)
        out.phase("tokenize", 20, 10)
        out.phase("sample", 22, 2)

    phases = phases_of(build(fill))
    assert names_at(phases, 10, 21, 23, 25, 50) == ["load", "tokenize", "sample", "tokenize", "load"]
    assert phases.seconds()["load"] == 9e-5


def test_calls_into_llama_cpp_are_phases(build: Build) -> None:
    functions = [
        "llama_model_load_from_file",
        "llama_n_ctx",
        "libllama.so:llama_decode",
        "llama_sampler_sample",
    ]

    def fill(out: Any) -> None:
        out.add(Kind.CALL, 0, nr=0, duration=10_000)
        out.add(Kind.CALL, 12, nr=1, duration=1_000)
        out.add(Kind.CALL, 20, nr=2, args=(7,), duration=10_000)
        out.add(Kind.CALL, 40, nr=2, args=(1,), duration=10_000)
        out.add(Kind.CALL, 55, nr=3, duration=2_000)

    phases = phases_of(build(fill, functions=functions))
    assert phases.source == "calls"
    assert names_at(phases, 5, 12, 25, 45, 56) == ["load", "outside", "prefill", "decode", "sample"]


def test_without_either_everything_is_outside(build: Build) -> None:
    phases = phases_of(build(lambda out: out.call("getpid", 0)))
    assert phases.source == "none"
    assert names_at(phases, 0) == ["outside"]
