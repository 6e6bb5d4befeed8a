"""The functions to be caught, as our C wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llamactl.trace.record.syscalls.native import ffi, lib

if TYPE_CHECKING:
    from llamactl.trace.record.calls.targets import Kept, Target


def point_of(nr: int, target: Target, kept: Kept | None, always: bool = False) -> dict[str, Any]:
    """Return a ``struct point`` for CFFI; ``always``: also calls that llama.cpp makes itself."""
    row = {"nr": nr, "address": target.address, "always": always, "returns": b"\0"}
    row["role"] = lib.points_role(target.name.encode())
    if kept is None:
        return row
    return {
        **row,
        "returns": kept.returns.encode() or b"\0",
        "count": len(kept.source),
        "source": list(kept.source),
        "index": list(kept.index),
    }


def new_points(rows: list[dict[str, Any]], ranges: tuple[tuple[int, int], ...]) -> Any:
    """Return ``struct points`` made of these rows."""
    points = lib.points_new(
        ffi.new("struct point[]", rows), len(rows),
        ffi.new("struct address_range[]", [{"start": a, "end": b} for a, b in ranges]), len(ranges),
    )  # fmt: skip
    if points == ffi.NULL:
        raise MemoryError("no memory for the breakpoints")
    return points
