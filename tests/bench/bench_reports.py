"""Reports whose times are given."""

from __future__ import annotations

from llamactl.bench.plan import BenchTest, Setup
from llamactl.bench.report import BenchReport, Environment, ModelFacts, Result, Sample


def make_report(
    times: dict[str, list[int]],
    *,
    commit: str = "abc",
    cpu: str = "cpu",
    fingerprint: str = "0" * 64,
    counters: dict[str, int | None] | None = None,
    complete: bool = True,
) -> BenchReport:
    """A report whose times are given: tests named ``tg<n>`` or ``pp<n>``."""
    results = []
    for name, ns in times.items():
        count = int(name[2:])
        test = BenchTest("pp", n_prompt=count) if name.startswith("pp") else BenchTest("tg", n_gen=count)
        samples = tuple(Sample(one, count, dict(counters or {}), 10) for one in ns)
        results.append(
            Result(
                Setup("m.gguf"), test, "2026-01-01T00:00:00Z", samples, {"llama_decode": 2}, 1, None, {}, ()
            )
        )
    environment = Environment(commit, "", cpu, "", "CPU", {}, {"cpus": 2}, {}, {"repetitions": 5})
    models = (ModelFacts("m.gguf", "llama", 10, 10, fingerprint),)
    return BenchReport(environment, models, tuple(results), complete, tuple(times), ())
