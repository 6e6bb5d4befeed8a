"""Find unused executable memory in a process, for the breakpoints' slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.trace.elf import read_symbols

if TYPE_CHECKING:
    from llamactl.trace.boundary.maps import ProcessMaps
    from llamactl.trace.boundary.targets import Found

SLOT_BYTES = 32
"""The most that a slot takes; two thirds of it are usual."""
REACH = 1 << 30
"""Bytes; a slot so near to the functions can hold instructions that address relative to themselves."""


def find_scratch(found: Found) -> tuple[int, int]:
    """Return address and size of executable memory that nobody uses: what pads a library's last page.

    Raises:
        LlamactlError: There is too little of it.
    """
    near = found.targets[0].address
    needed = SLOT_BYTES * (len(found.targets) + 2)
    tails = [tail for path in found.maps.objects() for tail in _tails(found.maps, path)]
    reachable = [tail for tail in tails if abs(tail[0] - near) < REACH]
    start, size = max(reachable or tails, key=lambda tail: tail[1], default=(0, 0))
    if size < SLOT_BYTES * 3:
        raise LlamactlError("no room for breakpoints in the process", "Use uprobes, which need root.")
    return start, min(size, needed)


def _tails(maps: ProcessMaps, path: str) -> list[tuple[int, int]]:
    try:
        symbols = read_symbols(maps.readable(path), (b"\0",))
    except OSError:
        return []
    found = []
    for part in symbols.segments if symbols else ():
        for piece in maps.executable(path):
            end = part.offset + part.file_bytes
            if (
                part.executable
                and piece.offset <= part.offset + part.file_bytes - 1 < piece.offset + piece.end - piece.start
            ):
                begin = (piece.start + end - piece.offset + SLOT_BYTES - 1) & -SLOT_BYTES
                found.append((begin, max(piece.end - begin, 0)))
    return found
