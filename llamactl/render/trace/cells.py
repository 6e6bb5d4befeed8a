"""How a figure reads: by the unit in its name, else by its type. One place for tables and sentences."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import PurePath
from typing import Any

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import bounds_text, byte_text, count_text, shortened, time_text
from llamactl.trace.mechanisms.disk.disk import Bounds
from llamactl.trace.mechanisms.table import Unit, is_number, unit_of

_BY_UNIT: dict[Unit, Callable[[Any], str]] = {
    Unit.NS: time_text,
    Unit.US: lambda value: time_text(None if value is None else value * 1e3),
    Unit.S: lambda value: "" if value is None else f"{value:.3f}",
    Unit.BYTES: byte_text,
    Unit.SHARE: lambda value: "unknown" if value is None else f"{value:.1%}",
}


def figure_text(name: str, value: Any) -> str:
    """Return a figure as a person reads it; unknown counts, bytes and times say so.

    Args:
        name: The field's, which bears the unit.
        value: Its value.
    """
    if isinstance(value, (str, bytes, Enum, bool, Bounds, tuple, list)):
        return value_text(value)
    if is_number(name):
        return "" if value is None else str(value)
    by_unit = _BY_UNIT.get(unit_of(name))
    if by_unit is not None:
        return by_unit(value)
    return f"{value:.3g}" if isinstance(value, float) else count_text(value)


def value_text(value: Any) -> str:
    """Return what isn't a number: a text, a place in Python, a list of texts."""
    if isinstance(value, bytes):
        return safe_text(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Bounds):
        return bounds_text(value)
    if is_place(value):
        return shortened(f"{safe_text(PurePath(value[0]).name)}:{value[1]}", 20)
    if isinstance(value, (list, tuple)):
        return safe_text(", ".join(str(item) for item in value))
    return safe_text(str(value))


def is_place(value: Any) -> bool:
    """Return whether this is (file, line, function)."""
    return isinstance(value, tuple) and [type(item) for item in value] == [str, int, str]
