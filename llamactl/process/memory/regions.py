"""Addresses in a process that tell what a futex is for: CPython's ``_PyRuntime``, where its GIL lies."""

from __future__ import annotations

from llamactl.errors import LlamactlError
from llamactl.process.elf import read_elf
from llamactl.process.memory.maps import Piece, ProcessMaps

SYMBOLS = ("_PyRuntime",)
PAGE = 4096


def find_regions(pid: int) -> dict[str, list[tuple[int, int]]]:
    """Return the address ranges of ``SYMBOLS`` in the process as it is now; empty when there are none.

    Source: proc_pid_maps(5); an address in the file is relative to the first segment.
    """
    try:
        maps = ProcessMaps(pid)
    except LlamactlError:
        return {}
    first: dict[str, Piece] = {}
    for piece in maps.pieces:
        first.setdefault(piece.path, piece)
    found: dict[str, list[tuple[int, int]]] = {}
    for path in maps.objects():
        for symbol, span in _places(maps, path, first[path].start):
            found.setdefault(symbol, []).append(span)
    return found


def _places(maps: ProcessMaps, path: str, base: int) -> list[tuple[str, tuple[int, int]]]:
    try:
        elf = read_elf(maps.readable(path))
    except OSError:
        return []
    if elf is None or not elf.segments:
        return []
    bias = base - elf.segments[0].address // PAGE * PAGE
    known = ((symbol, elf.symbol(symbol)) for symbol in SYMBOLS)
    return [(name, (bias + place[0], bias + place[0] + place[1])) for name, place in known if place]
