"""Differences of two snapshots as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llamactl.render.columns import wrapped
from llamactl.render.document import document
from llamactl.render.units import seconds, size
from llamactl.snapshot.diff import Change

_NAMES = ("path", "target", "role", "name", "message")


def diff_document(changes: Sequence[Change]) -> dict[str, Any]:
    """Return the changes as a document."""
    return document("inspect-diff", 1, {"changes": changes})


def diff_text(changes: Sequence[Change]) -> str:
    """Return a line per change: ``+`` came, ``-`` went, ``~`` is different."""
    if not changes:
        return "nothing changed\n"
    lines = []
    for change in changes:
        lines += wrapped(f"{_MARKS[change.kind]} {' '.join(change.place)}: {_what(change)}", first="")
    return "\n".join(lines) + "\n"


_MARKS = {"added": "+", "removed": "-", "changed": "~"}


def _what(change: Change) -> str:
    name = change.place[-1]
    if change.kind == "added":
        return _shown(name, change.after)
    if change.kind == "removed":
        return _shown(name, change.before)
    text = f"{_shown(name, change.before)} → {_shown(name, change.after)}"
    if type(change.before) is int and type(change.after) is int and name.endswith("_bytes"):
        growth = change.after - change.before
        text += f" ({'+' if growth > 0 else '-'}{size(abs(growth))})"
    return text


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        known = [str(value[key]) for key in _NAMES if value.get(key)]
        return ", ".join(known) or f"{len(value)} entries"
    if isinstance(value, list):
        return ", ".join(_shown("", one) for one in value) or "none"
    if type(value) is int and name.endswith("_bytes"):
        return size(value)
    if type(value) is int and name.endswith("_ns"):
        return seconds(value)
    return str(value)
