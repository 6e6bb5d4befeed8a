"""Read what llamactl needs of an ELF file, without running it: identity, search paths, symbols.

Sources: elf(5), the System V ABI, and the description of DT_GNU_HASH in binutils.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from llamactl.process.file_bytes import FileBytes

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
_DT_NEEDED, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 6, 10, 14, 15, 29
_DT_GNU_HASH = 0x6FFFFEF5
_NT_GNU_BUILD_ID = 3
_MACHINE_X86_64 = 62
_WRITABLE = 2
_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_SYMBOL = 24
SHT_SYMTAB, SHT_DYNSYM = 2, 11
_EXECUTABLE = 1
_ET_DYN = 3
_PIECE = 4 << 20


class Segment(NamedTuple):
    """One loaded part of the file; sizes in bytes, ``address`` relative to where the file is loaded."""

    address: int
    offset: int
    file_bytes: int
    executable: bool


class Section(NamedTuple):
    """One section: its kind (``SHT_…``), where it lies in memory and in the file, bytes, and its section of strings."""

    kind: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True, slots=True)
class Elf:
    """A 64-bit little-endian ELF file.

    ``segments`` are what is loaded; ``zeroed_bytes`` is what the last of them takes in memory beyond its pages
    in the file; ``constant`` are start and end in the file of what is loaded and not writable;
    ``rpath`` and ``runpath`` are as written in the file, so still
    with ``$ORIGIN``; ``interpreter`` is the dynamic linker that a program asks for.
    """

    data: FileBytes = field(repr=False)
    machine: int
    shared: bool
    """Whether it can lie anywhere in memory (ET_DYN); an address in another one is absolute."""
    segments: tuple[Segment, ...]
    dynamic: tuple[tuple[int, int], ...]
    build_id: str | None
    zeroed_bytes: int
    constant: tuple[tuple[int, int], ...] = ()
    interpreter: str | None = None

    def at(self, address: int, size: int) -> bytes:
        """Return what is loaded at ``address`` (relative to the library); empty if nothing is."""
        for start, offset, length, _ in self.segments:
            if start <= address < start + length:
                begin = offset + address - start
                return self.data[begin : begin + min(size, start + length - address)]
        return b""

    def sections(self) -> list[Section]:
        """Return the sections; stripped files and memory images have none.

        Raises:
            struct.error: Their table reaches past the file's end.
        """
        at, size, count = self.data.unpack("<Q10x2H", 40)
        headers = (self.data.unpack("<IIQQQQI", at + index * size) for index in range(count))
        return [
            Section(kind, address, offset, length, link)
            for _, kind, _, address, offset, length, link in headers
        ]

    def string(self, address: int) -> str:
        """Return the C string at ``address``, at most 4 KiB of it."""
        return self.at(address, 4096).split(b"\0", 1)[0].decode("utf-8", "replace")

    def _tag(self, tag: int) -> int:
        return next((value for key, value in self.dynamic if key == tag), 0)

    def _names(self, tag: int) -> list[str]:
        table = self._tag(_DT_STRTAB)
        return [self.string(table + value) for key, value in self.dynamic if key == tag]

    @property
    def needed(self) -> list[str]:
        """The libraries that this file asks for."""
        return self._names(_DT_NEEDED)

    @property
    def soname(self) -> str | None:
        """The name by which others ask for this library."""
        return next(iter(self._names(_DT_SONAME)), None)

    @property
    def rpath(self) -> list[str]:
        """Directories searched before LD_LIBRARY_PATH; without effect where there is a runpath."""
        return [path for text in self._names(_DT_RPATH) for path in text.split(":")]

    @property
    def runpath(self) -> list[str]:
        """Directories searched after LD_LIBRARY_PATH."""
        return [path for text in self._names(_DT_RUNPATH) for path in text.split(":")]

    def symbol(self, name: str) -> tuple[int, int] | None:
        """Return address and size of an exported symbol, or None."""
        table = self._tag(_DT_GNU_HASH)
        try:
            return self._look_up(table, name) if table else None
        except (struct.error, ZeroDivisionError):  # the tables point outside of the file
            return None

    def _look_up(self, table: int, name: str) -> tuple[int, int] | None:
        buckets, first, bloom_words, _ = struct.unpack("<4I", self.at(table, 16))
        code = _gnu_hash(name)
        bucket_table = table + 16 + 8 * bloom_words
        (index,) = struct.unpack("<I", self.at(bucket_table + 4 * (code % buckets), 4))
        chains = bucket_table + 4 * buckets
        while index >= first:
            (entry,) = struct.unpack("<I", self.at(chains + 4 * (index - first), 4))
            if entry | 1 == code | 1 and (found := self._symbol_at(index, name)):
                return found
            if entry & 1:
                break
            index += 1
        return None

    def _symbol_at(self, index: int, name: str) -> tuple[int, int] | None:
        raw = self.at(self._tag(_DT_SYMTAB) + 24 * index, 24)
        name_at, _, _, section, address, size = struct.unpack("<IBBHQQ", raw)
        same = self.string(self._tag(_DT_STRTAB) + name_at) == name
        return (address, size) if same and section else None

    def function_at(self, file_offset: int) -> tuple[str, int] | None:
        """Return the exported function whose code lies at a place in the file, and how far into it; None for none."""
        address = next(
            (
                start + file_offset - offset
                for start, offset, length, _ in self.segments
                if offset <= file_offset < offset + length
            ),
            None,
        )
        if address is None:
            return None
        try:
            for name, kind, _, section, value, size in struct.iter_unpack("<IBBHQQ", self._symbols()):
                if section and kind & 15 in _FUNCTIONS and value <= address < value + size:
                    return self.string(self._tag(_DT_STRTAB) + name), address - value
        except struct.error:  # the tables point outside of the file
            pass
        return None

    def contains(self, text: bytes) -> bool:
        """Tell whether what is loaded of the file, and never written to, holds this text."""
        for start, end in self.constant:
            for at in range(start, end, _PIECE):
                if text in self.data[at : min(at + _PIECE + len(text) - 1, end)]:
                    return True
        return False

    def defines(self, prefixes: tuple[bytes, ...]) -> bool:
        """Tell whether the file exports a function whose name begins with one of these."""
        names = self.at(self._tag(_DT_STRTAB), self._tag(_DT_STRSZ))
        if not any(b"\0" + prefix in names for prefix in prefixes):
            return False
        try:
            return any(
                section and kind & 15 in _FUNCTIONS and names.startswith(prefixes, at)
                for at, kind, _, section, _, _ in struct.iter_unpack("<IBBHQQ", self._symbols())
            )
        except struct.error:  # the tables point outside of the file
            return False

    def _symbols(self) -> bytes:
        """Return the table of dynamic symbols; its size is in the section headers alone (elf(5))."""
        start = self._tag(_DT_SYMTAB)
        for section in self.sections():
            if section.kind == SHT_DYNSYM and section.address == start:
                return self.at(start, section.size // _SYMBOL * _SYMBOL)
        # Without headers: linkers lay the names behind the symbols.
        table = self.at(start, max(self._tag(_DT_STRTAB) - start, 0))
        return table[: len(table) // _SYMBOL * _SYMBOL]

    def exports_python(self) -> bool:
        """Tell whether the file is an extension module: it has a function that makes a Python module."""
        names = self._tag(_DT_STRTAB)
        size = self._tag(_DT_STRSZ)
        return b"\0PyInit_" in self.at(names, size)

    def returned_string(self, name: str) -> str | None:
        """Return the text of a function that does nothing but return one (x86-64 only).

        ``lea rax, [rip + distance]; ret``: how compilers return the address of a constant.
        """
        code = self._code(name)
        if code[:3] != b"\x48\x8d\x05" or code[7:8] != b"\xc3":
            return None
        (distance,) = struct.unpack("<i", code[3:7])
        symbol = self.symbol(name)
        assert symbol is not None
        return self.string(symbol[0] + self._prologue(name) + 7 + distance)

    def returned_int(self, name: str) -> int | None:
        """Return the number of a function that does nothing but return one (x86-64 only)."""
        code = self._code(name)
        if code[:1] == b"\xb8" and code[5:6] == b"\xc3":
            return int(struct.unpack("<i", code[1:5])[0])
        return 0 if code[:3] == b"\x31\xc0\xc3" else None

    def _prologue(self, name: str) -> int:
        symbol = self.symbol(name)
        return 4 if symbol and self.at(symbol[0], 4) == b"\xf3\x0f\x1e\xfa" else 0  # endbr64

    def _code(self, name: str) -> bytes:
        symbol = self.symbol(name)
        if symbol is None or self.machine != _MACHINE_X86_64:
            return b""
        return self.at(symbol[0] + self._prologue(name), 16)


def read_elf(path: Path) -> Elf | None:
    """Return the ELF file at ``path``, or None when it isn't one we can read.

    Raises:
        OSError: The file can't be opened.
    """
    data = FileBytes(path)
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        return _parse(data)
    except (struct.error, ValueError):
        return None


def _parse(data: FileBytes) -> Elf:
    kind, machine, headers_at = data.unpack("<HH12xQ", 16)
    shared = kind == _ET_DYN
    header_size, header_count = data.unpack("<HH", 54)
    segments: list[Segment] = []
    dynamic: tuple[tuple[int, int], ...] = ()
    build_id = None
    zeroed = 0
    constant: list[tuple[int, int]] = []
    interpreter = None
    for index in range(header_count):
        kind, flags, offset, address, _, size, in_memory = data.unpack(
            "<IIQQQQQ", headers_at + index * header_size
        )
        if kind == _PT_LOAD:
            segments.append(Segment(address, offset, size, bool(flags & _EXECUTABLE)))
            if not flags & _WRITABLE:
                constant.append((offset, min(offset + size, len(data))))
            zeroed = max(_pages_up(address + in_memory) - _pages_up(address + size), 0)
        elif kind == _PT_DYNAMIC:
            whole = data[offset : offset + size // 16 * 16]
            dynamic = tuple(pair for pair in struct.iter_unpack("<QQ", whole) if pair[0])
        elif kind == _PT_INTERP:
            interpreter = data[offset : offset + size].split(b"\0", 1)[0].decode("utf-8", "replace")
        elif kind == _PT_NOTE and build_id is None:
            build_id = _build_id(data[offset : offset + size])
    return Elf(
        data, machine, shared, tuple(segments), dynamic, build_id, zeroed, tuple(constant), interpreter
    )


def _pages_up(address: int) -> int:
    return (address + 4095) & ~4095


def _build_id(notes: bytes) -> str | None:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<3I", notes, at)
        begin = at + 12 + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0":
            return notes[begin : begin + size].hex()
        at = begin + (size + 3) // 4 * 4
    return None


def _gnu_hash(name: str) -> int:
    code = 5381
    for byte in name.encode():
        code = (code * 33 + byte) & 0xFFFFFFFF
    return code
