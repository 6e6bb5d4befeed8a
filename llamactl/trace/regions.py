"""Addresses in a process that tell what a futex is for: CPython's ``_PyRuntime``, where its GIL lies."""

from __future__ import annotations

import os
from pathlib import Path

from llamactl.snapshot.proc_text import maps_lines
from llamactl.snapshot.process.elf import read_elf

SYMBOLS = {"_PyRuntime": "python"}
"""The symbol, and what the name of a file that exports it contains."""

PAGE = 4096


def find_regions(pid: int) -> dict[str, list[tuple[int, int]]]:
    """Return the address ranges of ``SYMBOLS`` in the process as it is now; empty when there are none.

    Source: proc_pid_maps(5); an address in the file is relative to the first segment.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for path, base in _first_mappings(pid).items():
        for symbol, part in SYMBOLS.items():
            if part not in path.rpartition("/")[2]:
                continue
            span = _address_of(Path(f"/proc/{pid}/root{path}"), symbol, base)
            if span is not None:
                found.setdefault(symbol, []).append(span)
    return found


def _first_mappings(pid: int) -> dict[str, int]:
    """Where each mapped file begins in memory."""
    first: dict[str, int] = {}
    try:
        mappings = maps_lines(Path(f"/proc/{pid}/maps").read_bytes())
    except OSError:
        return {}
    for mapping in mappings:
        if mapping.path.startswith(b"/"):
            first.setdefault(os.fsdecode(mapping.path), mapping.start)
    return first


def _address_of(path: Path, symbol: str, base: int) -> tuple[int, int] | None:
    try:
        elf = read_elf(path)
    except OSError:
        return None
    place = elf.symbol(symbol) if elf is not None else None
    if elf is None or place is None:
        return None
    bias = base - elf.segments[0][0] // PAGE * PAGE
    return bias + place[0], bias + place[0] + place[1]
