from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llamactl.bench.plan import BenchTest, Setup
from llamactl.bench.report import BenchReport, Environment, ModelFacts, Result, Sample

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def bench(model_file: str) -> Run:
    """Run ``llamactl bench`` with one thread; model and thread come first unless it is ``compare``."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        head = [] if arguments[:1] == ("compare",) else ["-m", model_file, "-t", "1"]
        command = [sys.executable, "-m", "llamactl", "bench", *head, *arguments]
        # pytest may run with SIGINT ignored, which children inherit.
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return run


def make_report(
    times: dict[str, list[int]],
    *,
    commit: str = "abc",
    cpu: str = "cpu",
    fingerprint: str = "0" * 64,
    counters: dict[str, int | None] | None = None,
    waits: list[int | None] | None = None,
    complete: bool = True,
) -> BenchReport:
    """A report whose times are given, and of each how long it waited for a CPU: ``tg<n>`` or ``pp<n>``."""
    results = []
    for name, ns in times.items():
        count = int(name[2:])
        test = BenchTest("pp", n_prompt=count) if name.startswith("pp") else BenchTest("tg", n_gen=count)
        samples = tuple(
            Sample(one, count, {**(counters or {}), "run_delay_ns": wait}, 10)
            for one, wait in zip(ns, waits or [None] * len(ns), strict=True)
        )
        results.append(
            Result(
                Setup("m.gguf"), test, "2026-01-01T00:00:00Z", samples, {"llama_decode": 2}, 1, None, {}, ()
            )
        )
    environment = Environment(commit, "", cpu, "", "CPU", {}, {"cpus": 2}, {}, {"repetitions": 5})
    models = (ModelFacts("m.gguf", "llama", 10, 10, fingerprint),)
    return BenchReport(environment, models, tuple(results), complete, tuple(times), ())


@pytest.fixture
def report_of() -> Callable[..., BenchReport]:
    return make_report


@pytest.fixture(scope="session")
def engine_lib() -> Path:
    """The directory with the engine's libraries."""
    from llamactl.engine.library import directory

    assert (directory() / "libllama.so").is_file()
    return directory()
