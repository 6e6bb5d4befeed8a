"""Where CPython keeps its GIL: the symbol ``_PyRuntime`` of the interpreter that the program ran.

Read from the interpreter's file, so it is known as long as that file is there. Its address follows from the
mapping of the file; an executable that isn't position-independent lies where its file says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from llamactl.process.answering import answers
from llamactl.process.elf import Elf, read_elf
from llamactl.trace.mechanisms.mapping.address_space import Mapping
from llamactl.trace.mechanisms.names import Names

SYMBOL = "_PyRuntime"
_PAGE_MASK = ~4095


def runtime_regions(mappings: Iterable[Mapping], names: Names) -> list[tuple[int, int]]:
    """Return the address ranges of ``_PyRuntime`` in the program's processes; empty when unknown.

    Args:
        mappings: All mappings of the capture.
        names: Names of all files that were named, the programs of ``execve`` among them.
    """
    interpreters = {number: elf for number in range(len(names)) if (elf := _interpreter(names.name(number)))}
    regions = {_region(elf, 0) for elf in interpreters.values() if elf.segments[0].address & _PAGE_MASK}
    for mapping in mappings:
        elf = interpreters.get(mapping.name)
        if elf and mapping.offset == elf.segments[0].offset & _PAGE_MASK:
            regions.add(_region(elf, mapping.start - (elf.segments[0].address & _PAGE_MASK)))
    return sorted(region for region in regions if region)


def _interpreter(name: bytes) -> Elf | None:
    """Read the file when its name is one of a Python interpreter or of its library."""
    base = name.rpartition(b"/")[2]
    if not name.startswith(b"/") or not base.startswith((b"python", b"libpython")):
        return None
    path = Path(os.fsdecode(name))
    try:
        return read_elf(path) if answers(path) and path.is_file() else None
    except (OSError, ValueError):
        return None


def _region(elf: Elf, base: int) -> tuple[int, int] | None:
    symbol = elf.symbol(SYMBOL)
    return (base + symbol[0], base + symbol[0] + symbol[1]) if symbol else None
