"""Numbers for people: three significant figures and a unit."""

from __future__ import annotations

SECOND_NS = 1_000_000_000


def seconds(ns: int | None) -> str:
    """Return a duration such as ``0.14 s``, ``3.2 ms`` or ``18 µs``; ``unknown`` for ``None``."""
    if ns is None:
        return "unknown"
    if ns >= SECOND_NS // 10:
        return f"{_three(ns / SECOND_NS)} s"
    if ns >= 100_000:
        return f"{_three(ns / 1e6)} ms"
    return f"{_three(ns / 1e3)} µs"


def size(count: int | None) -> str:
    """Return bytes such as ``93.8 MiB``; ``unknown`` for ``None``."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{count} B" if unit == "B" else f"{_three(value)} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def rate(per_second: float | None, unit: str) -> str:
    """Return such as ``110 tok/s``; ``unknown`` for ``None``."""
    return "unknown" if per_second is None else f"{_three(per_second)} {unit}/s"


def _three(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"
