"""Bindings side by side: microseconds of a token by step."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.bench.bindings import STEPS, BindingResult
from llamactl.render.bench_table import tabulated
from llamactl.render.document import document, dumps

SCHEMA_VERSION = 1


def bindings_table(results: Sequence[BindingResult]) -> str:
    """Return a Markdown table; what a binding doesn't do is a dash."""
    headers = ["binding", "version", "t/s", "total µs", *STEPS, "Python"]
    rows: list[list[object]] = [
        [
            one.binding,
            one.version,
            f"{1e9 / one.total_ns:.2f}",
            _us(one.total_ns),
            *(_us(one.steps_ns[step]) for step in STEPS),
            _us(one.rest_ns),
        ]
        for one in results
    ]
    return tabulated(rows, headers, right=6) + "\n"


def _us(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e3:.1f}"


def bindings_document(results: Sequence[BindingResult]) -> str:
    """Return the document: schema ``bench-bindings``."""
    return dumps(document("bench-bindings", SCHEMA_VERSION, {"bindings": list(results)})) + "\n"
