"""One JSON object per event: numbers as numbers, flags as lists, bytes escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from llamactl.trace.decode.decode import escape, plain
from llamactl.trace.mechanisms.events import Event

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def jsonl_lines(events: Iterable[Event]) -> Iterator[str]:
    """Yield a line per event, each an object of ``schemas/trace_event.schema.json``."""
    for event in events:
        # Lone surrogates can't be written as UTF-8; names come from backslashreplace and have none.
        yield _ENCODER.encode(event_object(event))


def event_object(event: Event) -> dict[str, Any]:
    """Return an event as JSON values."""
    row: dict[str, Any] = {
        "kind": event.kind.name.lower(),
        "name": event.name,
        "start_ns": event.start_ns,
        "duration_ns": event.duration_ns,
        "unfinished": event.unfinished,
        "pid": event.pid,
        "tid": event.tid,
        "phase": event.phase,
    }
    if event.call:
        row["args"] = {name: plain(value) for name, value in event.call.arguments}
        row["result"] = plain(event.call.result)
        row["error"] = event.call.error
        row["path"] = None if event.path is None else escape(event.path)
    else:
        row.update(event.facts)
    return row
