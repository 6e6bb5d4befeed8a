"""The report's rows: one per mechanism by which the program exchanges something, in measured facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from llamactl.render.trace.cells import figure_text
from llamactl.render.trace.exchange import buffers, gil, interface
from llamactl.render.trace.rows.cpu import cpu
from llamactl.render.trace.rows.files import files
from llamactl.render.trace.rows.memory import disk, faults, mapping
from llamactl.render.trace.rows.requests import requests
from llamactl.render.trace.rows.row import Row, verdict_text
from llamactl.render.trace.rows.system import calls, gpu, locks, threads
from llamactl.render.trace.rows.workers import workers
from llamactl.trace.mechanisms.mechanism import Mechanism
from llamactl.trace.mechanisms.registry import MECHANISMS
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.table import words_of

SENTENCES: dict[str, Callable[[TraceReport], Iterable[str]]] = {
    "calls": calls,
    "interface": interface,
    "requests": requests,
    "buffers": buffers,
    "mapping": mapping,
    "faults": faults,
    "disk": disk,
    "threads": threads,
    "cpu": cpu,
    "gil": gil,
    "locks": locks,
    "gpu": gpu,
    "workers": workers,
    "files": files,
}
"""By the mechanism's name. One without a line here is said by its figures, each with its unit."""

_SHOWN = 3


def mechanisms(report: TraceReport) -> list[Row]:
    """Return the rows of the report; those that the capture can't know are left out."""
    return [row for mechanism in MECHANISMS if (row := _row(mechanism, report)) is not None]


def _row(mechanism: type[Mechanism[Any]], report: TraceReport) -> Row | None:
    verdict = mechanism.verdict(report)
    if verdict is None:
        return None
    said = SENTENCES.get(mechanism.name)
    lines = tuple(said(report) if said is not None else _figures(mechanism, report))
    return Row(mechanism.title, lines, verdict_text(verdict), mechanism.explanation)


def _figures(mechanism: type[Mechanism[Any]], report: TraceReport) -> Iterable[str]:
    """Say the single figures of a mechanism, and the first rows of its tables."""
    facts = report.of(mechanism.facts)
    tables = {table.name: table for table in mechanism.tables}
    for item in fields(mechanism.facts):
        value = getattr(facts, item.name)
        if item.name not in tables:
            if not item.metadata.get("inner"):
                yield f"{words_of(item.name)}: {figure_text(item.name, value)}"
            continue
        listed = ", ".join(f"{figure_text('count', row.count)} {figure_text('name', row.name)}"
                           for row in value[:_SHOWN])  # fmt: skip
        yield f"{words_of(item.name)}: {listed or 'none'}{' …' if value[_SHOWN:] else ''}"
