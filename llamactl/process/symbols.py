"""Read the symbol tables of an ELF file through numpy: 1 to 5 ms for a large library.

Sources: elf(5) and the System V ABI. What an ELF file is otherwise (identity, search paths) is read in
``llamactl.snapshot.process``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llamactl.process.file_bytes import FileBytes

SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
HEADER = np.dtype(
    [
        ("kind", "<u4"),
        ("flags", "<u4"),
        ("offset", "<u8"),
        ("address", "<u8"),
        ("physical", "<u8"),
        ("file_bytes", "<u8"),
        ("memory_bytes", "<u8"),
        ("alignment", "<u8"),
    ]
)
SECTION = np.dtype(
    [
        ("name", "<u4"),
        ("kind", "<u4"),
        ("flags", "<u8"),
        ("address", "<u8"),
        ("offset", "<u8"),
        ("size", "<u8"),
        ("link", "<u4"),
        ("info", "<u4"),
        ("alignment", "<u8"),
        ("entry_bytes", "<u8"),
    ]
)
PT_LOAD, PT_INTERP = 1, 3
EXECUTABLE = 1
SHT_SYMTAB, SHT_DYNSYM = 2, 11
FUNCTION = 2
INDIRECT_FUNCTION = 10
UNDEFINED = 0
IDENT = b"\x7fELF\x02\x01"  # 64 bits, little-endian


@dataclass(frozen=True, slots=True)
class Segment:
    """One loaded part of the file; sizes in bytes, ``address`` relative to where the file is loaded."""

    address: int
    offset: int
    file_bytes: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Symbols:
    """The functions that an ELF file defines and those that it asks for.

    Attributes:
        functions: Address (relative to where the file is loaded) by name, for names with a wanted prefix.
        wanted: Undefined names with a wanted prefix, which the dynamic linker looks up.
        segments: What is loaded.
        fixed: Whether addresses are absolute (ET_EXEC).
        dynamic: Whether there is a dynamic linker or this is a shared library.
    """

    functions: dict[str, int]
    wanted: frozenset[str]
    segments: tuple[Segment, ...]
    fixed: bool
    dynamic: bool

    def offset_of(self, address: int) -> int | None:
        """Return where in the file the byte loaded at ``address`` is; None when it isn't in the file."""
        for part in self.segments:
            if part.address <= address < part.address + part.file_bytes:
                return address - part.address + part.offset
        return None


def read_symbols(path: Path, prefixes: tuple[bytes, ...]) -> Symbols | None:
    """Return the functions whose names begin with one of the prefixes; None for what isn't 64-bit ELF.

    ``.dynsym`` is read; a program without one (static) is read from ``.symtab`` if it wasn't stripped.

    Raises:
        OSError: The file can't be opened.
    """
    data = FileBytes(path)
    try:
        return _parse(data, prefixes) if data[:6] == IDENT else None
    except (ValueError, struct.error, IndexError):
        return None  # Its tables point outside of it.


def _parse(data: FileBytes, prefixes: tuple[bytes, ...]) -> Symbols:
    (kind,) = data.unpack("<H", 16)
    headers_at, sections_at = data.unpack("<QQ", 32)
    header_count, _, section_count = data.unpack("<3H", 56)
    headers = _array(data, HEADER, header_count, headers_at)
    sections = _array(data, SECTION, section_count, sections_at)
    loaded = headers[headers["kind"] == PT_LOAD]
    segments = tuple(
        Segment(int(h["address"]), int(h["offset"]), int(h["file_bytes"]), bool(h["flags"] & EXECUTABLE))
        for h in loaded
    )
    # A static program has a symbol table at most, and a static-PIE one an empty dynamic one.
    dynamic = kind == 3 and (bool((headers["kind"] == PT_INTERP).any()) or _has_exports(sections))
    functions: dict[str, int] = {}
    wanted: set[str] = set()
    for section in sections[np.isin(sections["kind"], (SHT_SYMTAB, SHT_DYNSYM))]:
        if section["kind"] == SHT_DYNSYM or not dynamic:
            _read_table(data, section, sections[int(section["link"])], prefixes, functions, wanted)
    return Symbols(functions, frozenset(wanted), segments, kind == 2, dynamic)


def _array(data: FileBytes, dtype: np.dtype[Any], count: int, offset: int) -> np.ndarray[Any, Any]:
    """Return a table of the file.

    Raises:
        ValueError: It reaches past the file's end.
    """
    return (
        np.frombuffer(data[offset : offset + count * dtype.itemsize], dtype, count)
        if count
        else np.empty(0, dtype)
    )


def _has_exports(sections: np.ndarray) -> bool:
    tables = sections[sections["kind"] == SHT_DYNSYM]
    return bool(len(tables)) and int(tables[0]["size"]) > SYMBOL.itemsize * 2


def _read_table(
    data: FileBytes,
    section: np.void,
    strings: np.void,
    prefixes: tuple[bytes, ...],
    functions: dict[str, int],
    wanted: set[str],
) -> None:
    symbols = _array(data, SYMBOL, int(section["size"]) // SYMBOL.itemsize, int(section["offset"]))
    text = data[int(strings["offset"]) : int(strings["offset"]) + int(strings["size"])]
    kinds = symbols["info"] & 15
    # Undefined symbols need no type.
    likely = (symbols["section"] == UNDEFINED) | (kinds == FUNCTION) | (kinds == INDIRECT_FUNCTION)
    for symbol in symbols[likely & _begins(text, symbols["name"], prefixes)].tolist():
        name = text[symbol[0] : text.index(b"\0", symbol[0])].decode("utf-8", "replace")
        if symbol[3] == UNDEFINED:
            wanted.add(name)
        elif symbol[1] & 15 == FUNCTION:
            functions[name] = symbol[4]


def _begins(text: bytes, names: np.ndarray, prefixes: tuple[bytes, ...]) -> np.ndarray:
    """Return which names begin with one of the prefixes, without making strings of all of them."""
    longest = max(len(prefix) for prefix in prefixes)
    letters = np.frombuffer(text + bytes(longest), np.uint8)
    found = np.zeros(len(names), dtype=bool)
    for prefix in prefixes:
        same = np.ones(len(names), dtype=bool)
        for index, letter in enumerate(prefix):
            same &= letters[np.minimum(names + index, len(letters) - 1)] == letter
        found |= same
    return found
