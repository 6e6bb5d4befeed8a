"""The report as one JSON document: ``schemas/trace.schema.json``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from llamactl.errors import UsageError
from llamactl.render.trace.findings.text import finding_text
from llamactl.render.trace.markdown import findings_markdown, verdicts_markdown
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.render.trace.tables import TABLES, Table, rows_of, table_markdown
from llamactl.trace.mechanisms.buffers.buffers import Buffer
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import Finding
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts
from llamactl.trace.mechanisms.report import TraceReport

SCHEMA = "llamactl.trace"
SCHEMA_VERSION = 1


def report_json(report: TraceReport) -> str:
    """Return the document with a newline at its end; what isn't known is null."""
    return json.dumps(report_object(report), ensure_ascii=False, indent=1) + "\n"


def _devices(report: TraceReport) -> dict[str, Any] | None:
    """Return the buffers by device as the engine's own calls tell them; null where none was seen."""
    facts = report.devices
    if facts is None:
        return None
    return {
        "memory": [{**_plain(one), "kinds": dict(one.kinds)} for one in facts.memory],
        "offloads": _plain(facts.offloads),
        "buffers": [
            {**_plain(one), "start_ns": one.start_ns - report.begin_ns,
             "freed_ns": None if one.freed_ns is None else one.freed_ns - report.begin_ns}
            for one in facts.buffers
        ],
    }  # fmt: skip


def report_object(report: TraceReport) -> dict[str, Any]:
    """Return the document as JSON values; each row of a summary has ``name`` and ``count``."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "command": list(report.command),
        "begin_ns": report.begin_ns,
        "length_s": report.length_s,
        "cost": _plain(report.cost),
        "phase_source": report.phase_source,
        "first_token": _plain(report.first_token),
        "signals": report.signals,
        "mappings_not_kept": report.mappings_not_kept,
        "blind": {key: value for key, value in _plain(report.blind).items() if key != "io_uring_files"},
    }
    document["mechanisms"] = [
        {"name": row.name, "verdict": row.verdict, "facts": list(row.lines)} for row in mechanisms(report)
    ]
    document["findings"] = [_finding(one) for one in find(report)]
    document["devices"] = _devices(report)
    document["slow_tokens"] = [{**_plain(one), "cause": one.cause.value} for one in report.slow_tokens]
    document["exchange"] = _exchange(report.exchange)
    document["uncaught"] = [{**_plain(one), "why": one.why.value} for one in report.uncaught]
    document["cpu_use"] = (
        {**_plain(report.cpu_use), "verdict": report.cpu_use.verdict.value} if report.cpu_use else None
    )
    document["collections"] = None if report.garbage is None else _plain(report.garbage.collections)
    document["pins"] = _plain(report.pins)
    document["blocked_loops"] = _plain(report.blocked_loops)
    for table in TABLES:
        document[table.name] = [_plain(row) for row in rows_of(report, table)]
    document["metadata"] = report.metadata
    return document


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.kind.value,
        "cost_ns": finding.cost_ns,
        "figures": finding.figures,
        "place": list(finding.place) if finding.place else None,
        "caller": list(finding.caller) if finding.caller else None,
        "text": finding_text(finding),
    }


def _exchange(facts: ExchangeFacts | None) -> dict[str, Any] | None:
    """Return bindings, GIL and per-token averages; the functions are a summary of their own."""
    if facts is None:
        return None
    gil = _plain(facts.gil)
    return {
        "python": facts.python,
        "bindings": [{**_plain(one), "kind": one.kind.value} for one in facts.bindings],
        "engine_copies": facts.copies,
        "per_token": _plain(facts.per_token),
        "buffer": None if facts.buffer is None else _buffer(facts.buffer),
        "other_buffers": [_buffer(one) for one in facts.other_buffers],
        "callbacks": [_plain(one) for one in facts.callbacks],
        "calls_lost": facts.exchange.lost,
        "gil": {**gil, "verdict": facts.gil.verdict.value},
    }


def _buffer(buffer: Buffer) -> dict[str, Any]:
    readers = [{**_plain(one), "how": one.how.value} for one in buffer.readers]
    return {**_plain(buffer), "verdict": buffer.verdict.value, "readers": readers}


def report_csv(report: TraceReport, tables: Sequence[Table]) -> str:
    """Return one summary as CSV, its first column ``name``; the calls unless another is chosen.

    Raises:
        UsageError: More than one summary is chosen; a CSV file has one table.
    """
    if len(tables) > 1:
        raise UsageError("--format csv shows one table", "Choose one with --show, or take --format json.")
    table = tables[0] if tables else next(table for table in TABLES if table.name == "calls")
    rows = [_plain(row) for row in rows_of(report, table)]
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_cells(row) for row in rows)
    return out.getvalue()


def report_markdown(report: TraceReport, tables: Sequence[Table]) -> str:
    """Return verdicts, findings and the chosen summaries in Markdown; phases, calls and files unless chosen."""
    chosen = tables or [table for table in TABLES if table.name in {"phases", "calls", "files"}]
    parts = [verdicts_markdown(report), findings_markdown(report)]
    return "\n".join([part for part in parts if part] + [table_markdown(report, table) for table in chosen])


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Join lists, so that a cell stays one value."""
    return {
        key: json.dumps(value) if isinstance(value, (list, dict)) else value for key, value in row.items()
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
