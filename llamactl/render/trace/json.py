"""The report as one JSON document: ``schemas/trace.schema.json``, which is made from the facts' own types."""

from __future__ import annotations

import json
from typing import Any

from llamactl.render.document import plain, shown_fields
from llamactl.render.trace.findings.text import said_of
from llamactl.render.trace.mechanisms import mechanisms
from llamactl.trace.mechanisms.findings.find import find
from llamactl.trace.mechanisms.findings.finding import Finding
from llamactl.trace.mechanisms.registry import MECHANISMS
from llamactl.trace.mechanisms.report import TraceReport

SCHEMA = "llamactl.trace"
SCHEMA_VERSION = 2


def report_json(report: TraceReport) -> str:
    """Return the document with a newline at its end; what isn't known is null."""
    return json.dumps(report_object(report), ensure_ascii=False, indent=1) + "\n"


def report_object(report: TraceReport) -> dict[str, Any]:
    """Return the document as JSON values; each row of a table has ``name`` and ``count``."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "command": list(report.command),
        "begin_ns": report.begin_ns,
        "length_s": report.length_s,
        "mechanisms": _mechanisms(report),
        "findings": [_finding(one) for one in find(report)],
    }
    for mechanism in MECHANISMS:
        facts = report.of(mechanism.facts)
        document.update({name: plain(getattr(facts, name)) for name in shown_fields(mechanism.facts)})
    document["metadata"] = report.metadata
    return document


def _mechanisms(report: TraceReport) -> list[dict[str, Any]]:
    """Return the verdicts, and under which names the figures stand in this document."""
    by_title = {mechanism.title: mechanism for mechanism in MECHANISMS}
    return [
        {
            "name": row.name,
            "verdict": row.verdict,
            "facts": list(shown_fields(by_title[row.name].facts)),
            "text": list(row.lines),
        }
        for row in mechanisms(report)
    ]


def _finding(finding: Finding) -> dict[str, Any]:
    text, remedy = said_of(finding)
    return {
        "code": finding.kind.value,
        "figures": plain(finding.figures),
        "text": text,
        "remedy": remedy,
        "place": plain(finding.place),
        "caller": plain(finding.caller),
        "cost_ns": finding.cost_ns,
    }
