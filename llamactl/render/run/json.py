"""A run as one JSON document, or as a stream of events."""

from __future__ import annotations

from typing import Any

from llamactl.render.document import document, dumps, plain
from llamactl.run.report import RunReport, Setting

SCHEMA_VERSION = 1


def run_document(report: RunReport) -> str:
    """Return the document of ``--json``."""
    return dumps(document("run", SCHEMA_VERSION, report))


def ready_event(settings: dict[str, Setting], n_prompt_tokens: int) -> str:
    """Return the event before the prompt is computed."""
    return _event("ready", {"n_prompt_tokens": n_prompt_tokens, "settings": plain(settings)})


def warning_event(text: str) -> str:
    """Return the event of a warning."""
    return _event("warning", {"message": text})


def text_event(text: str) -> str:
    """Return the event of text that became certain."""
    return _event("text", {"text": text})


def end_event(report: RunReport) -> str:
    """Return the last event: the document, without the text that the events before it held."""
    return _event("end", {key: value for key, value in plain(report).items() if key != "text"})


def _event(name: str, fields: dict[str, Any]) -> str:
    return dumps(
        {"schema": "llamactl.run.event", "schema_version": SCHEMA_VERSION, "event": name, **fields},
        indent=None,
    )
