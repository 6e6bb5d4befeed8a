"""A benchmark for services that watch figures over time, and for the page of a CI job."""

from __future__ import annotations

import json
import statistics
from typing import Any

from llamactl.bench.compare import ReportComparison, by_name, counter_value
from llamactl.bench.gate import Verdict
from llamactl.bench.report import BenchReport, Result
from llamactl.render.bench.compare import comparison_tables, verdict_lines
from llamactl.render.bench.row import samples_ts, times
from llamactl.render.bench.table import cell, details, markdown, workers

WATCHED = ("minor_faults", "instructions", "system_calls", "crossings", "private_bytes")


def github_action_benchmark(report: BenchReport) -> str:
    """Return github-action-benchmark's input: tests with a rate for ``customBiggerIsBetter``, times in ms besides.

    The action takes one direction for a whole file, so times are turned into runs per second.
    """
    return (
        json.dumps([_bigger_is_better(name, result) for name, result in by_name(report).items()], indent=2)
        + "\n"
    )


def _bigger_is_better(test: str, result: Result) -> dict[str, Any]:
    rates, unit = samples_ts(result), "tokens/s"
    if not rates:
        rates, unit = [1e9 / sample.ns for sample in result.samples], "1/s"
    spread = statistics.stdev(rates) if len(rates) > 1 else 0.0
    extra = "\n".join(
        f"{name}: {value:.12g}" for name in WATCHED if (value := counter_value(result, name)) is not None
    )
    return {
        "name": test,
        "unit": unit,
        "value": statistics.fmean(rates),
        "range": f"± {spread:.3g}",
        "extra": extra,
    }


def bencher(report: BenchReport) -> str:
    """Return Bencher Metric Format: throughput or latency with the range, and counters, by test."""
    return json.dumps({name: _metrics(result) for name, result in by_name(report).items()}, indent=2) + "\n"


def _metrics(result: Result) -> dict[str, Any]:
    ns, rates = [sample.ns for sample in result.samples], samples_ts(result)
    metrics: dict[str, Any] = {
        "latency": {"value": times(result)["avg_ns"], "lower_value": min(ns), "upper_value": max(ns)}
    }
    if rates:
        mean = statistics.fmean(rates)
        metrics["throughput"] = {"value": mean, "lower_value": min(rates), "upper_value": max(rates)}
    for name in WATCHED:
        value = counter_value(result, name)
        if value is not None:
            metrics[name.replace("_", "-")] = {"value": value}
    return metrics


def summary(
    report: BenchReport, comparison: ReportComparison | None = None, verdicts: tuple[Verdict, ...] = ()
) -> str:
    """Return a page of Markdown for a CI job: verdicts, tables, and why not to trust them."""
    parts = ["## llamactl bench\n"]
    if verdicts:
        parts.append("".join(f"- {cell(line)}\n" for line in verdict_lines(verdicts)))
    if comparison:
        parts.append(comparison_tables(comparison))
    parts += [markdown(report), details(report) + workers(report)]
    doubts = [
        *report.warnings,
        *(f"{name}: {text}" for name, one in by_name(report).items() for text in one.warnings),
    ]
    if doubts:
        parts.append("".join(f"- ⚠ {cell(text)}\n" for text in doubts))
    return "\n".join(parts)
