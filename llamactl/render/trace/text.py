"""Decoded values and quantities of a trace as characters."""

from __future__ import annotations

from llamactl.render.safe import safe_text
from llamactl.trace.decode.values import (
    Address,
    Decoded,
    Descriptor,
    Flags,
    Hex,
    Octal,
    Struct,
    Symbol,
    Text,
    Value,
    Words,
)
from llamactl.trace.mechanisms.disk.disk import Bounds

LONGEST_TEXT = 64
"""Characters of one string in a line of the log; the exports have them whole."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def value_text(value: Value) -> str:
    """Return a decoded value as strace would write it."""
    if isinstance(value, Address):
        return f"{value.value:#x}" if value.value else "NULL"
    if isinstance(value, Flags):
        parts = [*value.names, *([f"{value.rest:#x}"] if value.rest else [])]
        return "|".join(parts) or "0"
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, Descriptor):
        target = f"<{name_text(value.target)}>" if value.target else ""
        return f"{value.number}{target}"
    if isinstance(value, Text):
        return quoted(value.data, value.cut)
    if isinstance(value, Words):
        return "[" + ", ".join(quoted(word) for word in value.words) + ("…]" if value.cut else "]")
    if isinstance(value, Struct):
        return "{" + ", ".join(f"{name}={value_text(field)}" for name, field in value.fields) + "}"
    if isinstance(value, Hex):
        return f"{value.value:#x}" if value.value > 9 else str(value.value)
    if isinstance(value, Octal):
        return f"{value.value:#o}" if value.value else "0"
    return "?" if value is None else str(value)


def bounds_text(bounds: Bounds) -> str:
    """Return a number of bytes of which a least and a most are known, or only one of them."""
    least, most = bounds.least, bounds.most
    if least is None:
        return "unknown" if most is None else f"at most {byte_text(most)}"
    if most is None:
        return f"at least {byte_text(least)}" if least else "unknown"
    if byte_text(least) == byte_text(most):
        return byte_text(least)
    return f"{byte_text(least)} to {byte_text(most)}" if least else f"at most {byte_text(most)}"


def name_text(name: bytes) -> str:
    """Return a path or socket on one line, without control characters."""
    return safe_text(name.decode("utf-8", "backslashreplace"))


def quoted(data: bytes, cut: bool = False, limit: int = LONGEST_TEXT) -> str:
    """Return bytes in quotes, shortened to ``limit`` characters with an ellipsis."""
    text = name_text(data).replace('"', '\\"')
    if len(text) > limit:
        text, cut = text[:limit], True
    return f'"{text}"' + ("…" if cut else "")


def call_text(call: Decoded) -> str:
    """Return ``openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3``."""
    arguments = ", ".join(value_text(value) for _, value in call.arguments)
    result = "?" if call.result is None else value_text(call.result)
    if call.error:
        result = f"-1 {call.error}"
    return f"{call.name}({arguments}) = {result}"


def byte_text(count: int | None) -> str:
    """Return bytes in the unit that leaves three digits: ``93.8 MiB``; ``unknown`` for None."""
    if count is None:
        return "unknown"
    size = float(count)
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def time_text(ns: float | None) -> str:
    """Return a duration in the unit that fits: ``62 ms``; ``unknown`` for None."""
    if ns is None:
        return "unknown"
    for limit, divisor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if ns < limit:
            return f"{ns / divisor:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def count_text(count: int | None) -> str:
    """Return a count with thousands separators; ``unknown`` for None."""
    return "unknown" if count is None else f"{count:,}"


def counted(count: int, noun: str) -> str:
    """Return ``1 wait`` or ``2 waits``."""
    return f"{count_text(count)} {noun}{'' if count == 1 else 's'}"


def shortened(text: str, width: int) -> str:
    """Shorten a path in its middle, so that its end stays readable."""
    if len(text) <= width:
        return text
    tail = width * 2 // 3
    return text[: width - tail - 1] + "…" + text[-tail:]
