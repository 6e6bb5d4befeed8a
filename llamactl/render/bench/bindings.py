"""Bindings side by side: microseconds of a token by step."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.bench.bindings.bindings import STEPS, BindingResult
from llamactl.render.bench.table import tabulated
from llamactl.render.document import document, dumps
from llamactl.render.safe import safe_text
from llamactl.render.units import size

SCHEMA_VERSION = 1


def bindings_table(results: Sequence[BindingResult]) -> str:
    """Return a Markdown table; what a binding doesn't do is a dash."""
    headers = ["binding", "version", "t/s", "total µs", *STEPS, "Python", "GIL", "copied"]
    rows: list[list[object]] = [
        [
            one.binding,
            one.version,
            f"{1e9 / one.total_ns:.2f}",
            _us(one.total_ns),
            *(_us(one.steps_ns[step]) for step in STEPS),
            _us(one.rest_ns),
            _us(one.gil_ns, digits=2),
            "–" if one.copied_bytes is None else size(one.copied_bytes),
        ]
        for one in results
    ]
    return tabulated(rows, headers, right=9) + "\n"


def bindings_missing(results: Sequence[BindingResult]) -> str:
    """Return why the GIL's figure is missing, a line each."""
    lines = [
        f"not known: GIL of {one.binding}: {safe_text(one.gil_missing)}\n"
        for one in results
        if one.gil_missing
    ]
    return "".join(lines)


def _us(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value / 1e3:.{digits}f}"


def bindings_document(results: Sequence[BindingResult]) -> str:
    """Return the document: schema ``bench-bindings``."""
    return dumps(document("bench-bindings", SCHEMA_VERSION, {"bindings": list(results)})) + "\n"
