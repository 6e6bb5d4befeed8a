"""What a test says besides its time: the parts of a request, a step's latency, shared memory, the page cache."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from llamactl.bench.compare import by_name
from llamactl.bench.report import BenchReport, Result
from llamactl.render.safe import safe_text
from llamactl.render.units import seconds, size

WORDS = {"step_median": "a step, in the median", "step_max": "the longest step",
         "quickest_process": "the quickest process"}  # fmt: skip


def steps(report: BenchReport) -> str:
    """Return a line for each test that has more to say; medians over the repetitions."""
    lines = ((name, ", ".join(_facts(result))) for name, result in by_name(report).items())
    return "".join(f"{safe_text(name)}: {text}\n" for name, text in lines if text)


def _facts(result: Result) -> Iterator[str]:
    for step in result.samples[0].steps_ns:
        median = statistics.median(sample.steps_ns[step] for sample in result.samples)
        yield f"{WORDS.get(step, step)} {seconds(round(median))}"
    cached = [one.cache_before_bytes for one in result.samples if one.cache_before_bytes is not None]
    if cached:
        yield f"{size(round(statistics.median(cached)))} of the model in the page cache before"
    shared = result.memory.shared if result.memory else {}
    if "rss_bytes" in shared and "pss_bytes" in shared:
        yield (
            f"{result.test.n_seq} processes hold {size(shared['rss_bytes'])},"
            f" {size(shared['pss_bytes'])} with shared pages counted once"
        )
