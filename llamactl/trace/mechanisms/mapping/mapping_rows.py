"""The rows of the ledger of mappings: roles, protections and times as people read them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache

from llamactl.process.memory.mapping_roles import role_of_path
from llamactl.trace.decode.constants import ADVICE
from llamactl.trace.mechanisms.files.files import FileRow
from llamactl.trace.mechanisms.mapping.address_space import Mapping
from llamactl.trace.mechanisms.mapping.mappings import MappingTable
from llamactl.trace.mechanisms.names import Names

_MAP_STACK, _MAP_GROWSDOWN, _MAP_POPULATE = 0x20000, 0x100, 0x8000
MODEL, DELETED = b".gguf", b" (deleted)"
"""How a model's name ends; what the kernel adds to the name of a mapped file that was removed."""
_PROT_EXEC = 4
_ARENA = 64 << 20
"""glibc reserves arenas of 64 MiB (malloc/arena.c, HEAP_MAX_SIZE on 64-bit), aligned to their size."""


@dataclass(frozen=True, slots=True)
class MappingRow:
    """One mapping for the views; times are seconds since the capture began."""

    name: str
    count: int
    role: str
    pid: int
    tid: int
    start: int
    length_bytes: int
    made_bytes: int
    """Its length when it was made; parts may have been unmapped since."""
    protection: str
    shared: bool
    offset: int
    begin_s: float
    life_s: float | None
    advice: tuple[str, ...]
    locked: bool
    populated: bool
    """Made with MAP_POPULATE: its pages came while the call ran, without faults."""
    made_in_ns: int | None
    """Duration of the mmap call; None when it wasn't seen."""
    minor_faults: int | None
    major_faults: int | None


def role_of(mapping: Mapping, name: bytes) -> str:
    """Say what a mapping is for, from its name, flags and size."""
    if name:
        role = _role_of_name(name)
        return "program" if role == "file" and mapping.prot & _PROT_EXEC else role
    if mapping.flags & (_MAP_STACK | _MAP_GROWSDOWN):
        return "stack"
    if mapping.anonymous and _in_arena(mapping):
        return "malloc arena"
    return "anonymous" if mapping.anonymous else "unknown"


@lru_cache(4096)
def _role_of_name(name: bytes) -> str:
    # Whether a file is a model can only be told by its name: it can't be looked into any more.
    is_model = name.removesuffix(DELETED).endswith(MODEL)
    return role_of_path(os.fsdecode(name), "", lambda: is_model)[0]


def mapping_rows(table: MappingTable, names: Names, begin_ns: int, saw_faults: bool) -> list[MappingRow]:
    """Return the rows of the ledger, the largest first."""
    rows = [_row(mapping, names, begin_ns, saw_faults) for mapping in table.all()]
    return sorted(rows, key=lambda row: -row.length_bytes)


def mapped_sizes(rows: list[MappingRow]) -> dict[str, int]:
    """Return how much of each file is mapped by the process that maps most of it; what is mapped twice counts once."""
    by_owner: dict[tuple[str, int], list[MappingRow]] = {}
    for row in rows:
        by_owner.setdefault((row.name, row.pid), []).append(row)
    sizes: dict[str, int] = {}
    for (name, _), mine in by_owner.items():
        largest = max(row.made_bytes for row in mine)
        sizes[name] = max(sizes.get(name, 0), _covered(mine), largest)
    return sizes


def mapped_once(files: list[FileRow], rows: list[MappingRow]) -> list[FileRow]:
    """Return the files with what several processes have mapped of one counted once: they share its pages."""
    owners: dict[str, set[int]] = {}
    for row in rows:
        owners.setdefault(row.name, set()).add(row.pid)
    sizes = mapped_sizes([row for row in rows if len(owners[row.name]) > 1])
    return [
        replace(file, mapped_bytes=min(file.mapped_bytes, sizes.get(_text(file.name), file.mapped_bytes)))
        for file in files
    ]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _covered(mappings: list[MappingRow]) -> int:
    covered = end = 0
    for mapping in sorted(mappings, key=lambda mapping: mapping.offset):
        last = mapping.offset + mapping.length_bytes
        covered += max(last - max(mapping.offset, end), 0)
        end = max(end, last)
    return covered


def _row(mapping: Mapping, names: Names, begin_ns: int, saw_faults: bool) -> MappingRow:
    name = names.name(mapping.name)
    life = None if mapping.end_ns is None else (mapping.end_ns - mapping.begin_ns) / 1e9
    return MappingRow(
        name=name.decode("utf-8", "backslashreplace") or "[anonymous]",
        count=1,
        role=role_of(mapping, name),
        pid=mapping.pid,
        tid=mapping.tid,
        start=mapping.start,
        length_bytes=mapping.length,
        made_bytes=mapping.made_length,
        protection=_protection(mapping.prot),
        shared=mapping.shared,
        offset=mapping.offset,
        begin_s=(mapping.begin_ns - begin_ns) / 1e9,
        life_s=life,
        advice=tuple(ADVICE.get(number, str(number)) for number in mapping.advice),
        locked=mapping.locked,
        populated=bool(mapping.flags & _MAP_POPULATE),
        made_in_ns=mapping.made_in_ns,
        minor_faults=mapping.minor_faults if saw_faults else None,
        major_faults=mapping.major_faults if saw_faults else None,
    )


def _protection(prot: int) -> str:
    """Show the protection it was made with, and after ``>`` what mprotect gave parts of it."""
    later = prot >> 8
    first = _letters(prot & 0xFF)
    return f"{first}>{_letters(later)}" if later and later != prot & 0xFF else first


def _letters(prot: int) -> str:
    return "".join(letter if prot & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


def _in_arena(mapping: Mapping) -> bool:
    """Tell an arena by what glibc does: a reservation without rights, aligned to 64 MiB."""
    return mapping.prot & 0xFF == 0 and mapping.length >= _ARENA and mapping.start % _ARENA == 0
