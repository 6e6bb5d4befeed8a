"""The functions that an ELF file defines and asks for, read through numpy: 1 to 5 ms for a large library.

Sources: elf(5) and the System V ABI.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llamactl.process.elf import SHT_DYNSYM, SHT_SYMTAB, Elf, Section, Segment, read_elf

SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
FUNCTION = 2
INDIRECT_FUNCTION = 10
UNDEFINED = 0


@dataclass(frozen=True, slots=True)
class Symbols:
    """The functions that an ELF file defines and those that it asks for.

    Attributes:
        functions: Address (relative to where the file is loaded) by name, for names with a wanted prefix.
        wanted: Undefined names with a wanted prefix, which the dynamic linker looks up.
        segments: What is loaded.
    """

    functions: dict[str, int]
    wanted: frozenset[str]
    segments: tuple[Segment, ...]

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
    elf = read_elf(path)
    try:
        return None if elf is None else _parse(elf, prefixes)
    except (ValueError, struct.error, IndexError):
        return None  # Its tables point outside of it.


def _parse(elf: Elf, prefixes: tuple[bytes, ...]) -> Symbols:
    sections = elf.sections()
    # A static program has a symbol table at most, and a static-PIE one an empty dynamic one.
    dynamic = elf.shared and (elf.interpreter is not None or _has_exports(sections))
    functions: dict[str, int] = {}
    wanted: set[str] = set()
    for section in sections:
        if section.kind == SHT_DYNSYM or (section.kind == SHT_SYMTAB and not dynamic):
            _read_table(elf, section, sections[section.link], prefixes, functions, wanted)
    return Symbols(functions, frozenset(wanted), elf.segments)


def _has_exports(sections: list[Section]) -> bool:
    return next((section.size for section in sections if section.kind == SHT_DYNSYM), 0) > SYMBOL.itemsize * 2


def _read_table(
    elf: Elf,
    section: Section,
    strings: Section,
    prefixes: tuple[bytes, ...],
    functions: dict[str, int],
    wanted: set[str],
) -> None:
    size = section.size // SYMBOL.itemsize * SYMBOL.itemsize
    symbols = np.frombuffer(elf.data[section.offset : section.offset + size], SYMBOL, size // SYMBOL.itemsize)
    text = elf.data[strings.offset : strings.offset + strings.size]
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
