"""Two benchmarks side by side, for a person and for a program."""

from __future__ import annotations

import math
from typing import Any

from llamactl.bench.compare import Comparison, CounterChange, ReportComparison
from llamactl.bench.gate import Verdict
from llamactl.bench.measure.statistics import Ratio
from llamactl.render.bench.table import DETAILS, cell, figure, shown_counter, tabulated
from llamactl.render.document import document, dumps

SCHEMA_VERSION = 1


def comparison_tables(found: ReportComparison) -> str:
    """Return speeds, counters that differ, and what else isn't the same."""
    how = "in turns" if found.paired else "one after the other"
    share = f"{found.confidence:.0%} interval"
    headers = ["test", "base", "new", "speed", share]
    known = any(one.undisturbed for one in found.tests)
    if known:
        headers += ["without waits", share]
    rows = [_speed_row(one, known=known) for one in found.tests]
    parts = [tabulated(rows, headers, right=len(headers) - 1) + f"\n\nmeasured {how}\n"]
    counters = _counter_rows(found)
    if counters:
        parts.append(tabulated(counters, ["test", "per repetition", "base", "new", "ratio"], right=3) + "\n")
    notes = [
        f"- differs: {cell(name)}: {cell(base)} → {cell(new)}\n" for name, base, new in found.differences
    ]
    notes += [f"- only in base: {cell(name)}\n" for name in found.only_base]
    notes += [f"- only in new: {cell(name)}\n" for name in found.only_new]
    if notes:
        parts.append("".join(notes))
    return "\n".join(parts)


def _speed_row(one: Comparison, *, known: bool) -> list[object]:
    row: list[object] = [one.name, figure(one.base), figure(one.new), f"{one.speed.value:.3f}"]
    row.append(interval(one.speed))
    if known:
        row += [f"{one.undisturbed.value:.3f}", interval(one.undisturbed)] if one.undisturbed else ["–", "–"]
    return row


def interval(speed: Ratio) -> str:
    """Return ``0.991 - 1.012``, or ``unknown`` for a single sample."""
    return "unknown" if speed.low is None or speed.high is None else f"{speed.low:.3f} – {speed.high:.3f}"


def _counter_rows(found: ReportComparison) -> list[list[object]]:
    return [
        [
            one.name,
            label,
            shown_counter(name, change.base),
            shown_counter(name, change.new),
            ratio_text(change),
        ]
        for one in found.tests
        for name, label in DETAILS
        if (change := one.counters[name]).base != change.new
    ]


def ratio_text(change: CounterChange) -> str:
    """Return NEW over BASE; ``-`` where it is unknown."""
    ratio = change.ratio
    if ratio is None:
        return "–"
    return "new" if math.isinf(ratio) else f"{ratio:.3f}"


def verdict_lines(verdicts: tuple[Verdict, ...]) -> list[str]:
    """Return a sentence for each verdict."""
    return [_verdict(one) for one in verdicts]


def _verdict(one: Verdict) -> str:
    head = "FAILED" if one.failed else "passed"
    ratio = "new" if math.isinf(one.ratio) else f"{one.ratio:.3f}"
    text = f"{head}: {one.condition.text}: {one.test} is {ratio}"
    if one.low is not None and one.high is not None:
        text += f" ({one.low:.3f} – {one.high:.3f}, p = {one.chance:.2g})"
    if one.undisturbed:
        text += " without waits for a CPU"
    return text + (", not certain: the interval holds the limit; repeat more often" if one.uncertain else "")


def comparison_document(found: ReportComparison, verdicts: tuple[Verdict, ...] = ()) -> str:
    """Return the document of a comparison: schema ``bench-compare``."""
    value = {
        "paired": found.paired,
        "confidence": found.confidence,
        "tests": [_test(one) for one in found.tests],
        "differences": [{"name": name, "base": base, "new": new} for name, base, new in found.differences],
        "only_base": list(found.only_base),
        "only_new": list(found.only_new),
        "verdicts": [_verdict_value(one) for one in verdicts],
    }
    return dumps(document("bench-compare", SCHEMA_VERSION, value)) + "\n"


def _test(one: Comparison) -> dict[str, Any]:
    return {
        "name": one.name,
        "speed": one.speed.value,
        "speed_low": one.speed.low,
        "speed_high": one.speed.high,
        "undisturbed_speed": one.undisturbed and one.undisturbed.value,
        "undisturbed_speed_low": one.undisturbed and one.undisturbed.low,
        "undisturbed_speed_high": one.undisturbed and one.undisturbed.high,
        "counters": {
            name: {"base": change.base, "new": change.new, "ratio": _finite(change.ratio)}
            for name, change in one.counters.items()
        },
    }


def _verdict_value(one: Verdict) -> dict[str, Any]:
    return {
        "condition": one.condition.text,
        "test": one.test,
        "failed": one.failed,
        "uncertain": one.uncertain,
        "ratio": _finite(one.ratio),
        "low": one.low,
        "high": one.high,
        "chance": one.chance,
        "undisturbed": one.undisturbed,
    }


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
