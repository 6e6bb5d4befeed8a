"""What the tests of trust share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llamactl.bench.plan import BenchTest, Setup
from llamactl.bench.report import BenchReport, Environment, Memory, ModelFacts, Result, Sample
from llamactl.snapshot.gpu.account import DeviceAccount

DEVICE = DeviceAccount("CUDA0", "0000:01:00.0", 4, 2, 1, 7, 9, "nvml", 2, None)
MEMORY = Memory(10, 20, 2, 1, 7, devices=(DEVICE,), shared={"pss_bytes": 5})


@pytest.fixture
def report_of() -> Callable[..., BenchReport]:
    """Make a report whose times are given, by name of a test: ``tg<n>`` or ``pp<n>``."""

    def make(times: dict[str, list[int]]) -> BenchReport:
        results = []
        for name, ns in times.items():
            count = int(name[2:])
            test = BenchTest("pp", n_prompt=count) if name.startswith("pp") else BenchTest("tg", n_gen=count)
            samples = tuple(Sample(one, count, {"minor_faults": 1}, 10) for one in ns)
            results.append(
                Result(Setup("m.gguf"), test, "2026-01-01T00:00:00Z", samples, None, 1, MEMORY, {}, ())
            )
        environment = Environment("abc", "", "cpu", "", "CPU", {}, {"cpus": 2}, {}, {"repetitions": 2})
        models = (ModelFacts("m.gguf", "llama", 10, 10, "0" * 64),)
        return BenchReport(environment, models, tuple(results), True, tuple(times), ())

    return make
