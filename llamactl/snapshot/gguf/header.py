"""The header of a GGUF file: metadata and tensors. Weights and vocabularies are passed over, not read.

Layout and limits follow ``ggml/include/gguf.h`` and ``ggml/src/gguf.cpp`` of the pinned engine, so a file
that is refused here would be refused there.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from typing import Final, TypeAlias

from llamactl.errors import UsageError
from llamactl.process.answering import ask
from llamactl.snapshot.gguf import types
from llamactl.snapshot.gguf.other_formats import other_format
from llamactl.snapshot.gguf.source import Fault, FaultError, Source, shown

MAX_ENTRIES: Final = 65_536
"""Most metadata entries and most tensors that are read: real models have some thousands."""
MAX_KEY: Final = 65_535
HEAD_BYTES: Final = 64
"""As many tell what a file is that isn't GGUF."""
BIG_ENDIAN: Final = (
    "Convert it to little-endian (gguf-convert-endian of the package gguf); another download is the same."
)
OLD: Final = (
    "Convert it again from the original weights with convert_hf_to_gguf.py; another download is the same."
)
NEW: Final = "It needs a newer engine: update llamactl."

MetadataScalar: TypeAlias = int | float | bool | str

_GIVE_A_FILE: Final = "Give the path of a GGUF file."
_HEADER: Final = struct.Struct("<4sI")
_DIMS: Final = tuple(struct.Struct(f"<{n}QIQ") for n in range(types.MAX_DIMS + 1))


@dataclass(frozen=True, slots=True)
class Entry:
    """One metadata value.

    Attributes:
        type_name: ``u32``, ``str``, …; of the elements when it is an array.
        count: Elements of an array; None for a single value.
        offset: Where the value's bytes begin in the file (after the length, for a string).
        nbytes: How many they are.
        value: A number, or a string of up to 64 KiB; None for arrays and longer strings, which
            :func:`llamactl.snapshot.gguf.values.read` reads on request.
    """

    type_name: str
    count: int | None
    offset: int
    nbytes: int
    value: MetadataScalar | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file.

    Attributes:
        name: As stored.
        shape: Elements per dimension, fastest first (as ggml counts them).
        type_number: ggml_type.
        offset: In the data section, in bytes.
        info_offset: Where its description begins in the file.
    """

    name: str
    shape: tuple[int, ...]
    type_number: int
    offset: int
    info_offset: int

    @property
    def type_name(self) -> str:
        """``Q4_K`` and the like, ``type 99`` for a number that isn't known."""
        known = types.TENSOR_TYPES.get(self.type_number)
        return known.name if known else f"type {self.type_number}"

    @property
    def n_elements(self) -> int:
        """Number of weights."""
        product = 1
        for size in self.shape:
            product *= size
        return product

    @property
    def nbytes(self) -> int | None:
        """Bytes in the file; None for an unknown type."""
        known = types.TENSOR_TYPES.get(self.type_number)
        return self.n_elements // known.block * known.block_bytes if known else None


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What the header says, up to the first fault.

    Attributes:
        path: As given.
        size_bytes: Length of the file.
        version: Of the format; None if the header is cut before it.
        n_tensors: Number announced, which after a fault can differ from ``len(tensors)``.
        metadata: In the order of the file.
        alignment: Of tensors, in bytes.
        data_offset: Where the data section begins; None after a fault in the header.
        fault: The first thing that is wrong, or None.
    """

    path: str
    size_bytes: int
    version: int | None
    n_tensors: int | None
    metadata: dict[str, Entry]
    tensors: tuple[Tensor, ...]
    alignment: int
    data_offset: int | None
    fault: Fault | None

    def get(self, key: str) -> MetadataScalar | None:
        """Return a number or string of the metadata, None where there is none."""
        entry = self.metadata.get(key)
        return entry.value if entry else None


def read(path: str) -> GgufFile:
    """Read the header of a GGUF file; what is wrong in it is told in ``fault``, never raised.

    At most 256 MiB are read and some tens of MiB kept, whatever the file says.

    Raises:
        UsageError: The path isn't a file that can be opened for reading.
    """
    fd = open_regular(path)
    try:
        source = Source(fd, os.fstat(fd).st_size)
        return _Parser(path, source).parse()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    finally:
        os.close(fd)


def open_regular(path: str) -> int:
    """Open a regular file for reading; never waits, as a pipe would make it.

    Raises:
        UsageError: It doesn't exist, can't be opened or isn't a regular file.
    """
    try:
        ask(path, read=True)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise UsageError(f"{path} can't be opened: {error.strerror}", _GIVE_A_FILE) from error
    except ValueError as error:
        raise UsageError(f"{path!r} isn't a path", _GIVE_A_FILE) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"{path} isn't a regular file", _GIVE_A_FILE)
    # No reading ahead: it would bring weights into memory that nobody asked for.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    return fd


class _Parser:
    """Collects what is sound until the first fault."""

    def __init__(self, path: str, source: Source) -> None:
        self.path = path
        self.source = source
        self.version: int | None = None
        self.n_tensors: int | None = None
        self.n_entries = 0
        self.metadata: dict[str, Entry] = {}
        self.tensors: list[Tensor] = []
        self.alignment = types.DEFAULT_ALIGNMENT
        self.data_offset: int | None = None
        self.fault: Fault | None = None

    def parse(self) -> GgufFile:
        where = ""
        try:
            self._header()
            for number in range(self.n_entries):
                where = f"metadata entry {number + 1} of {self.n_entries}: "
                self._entry()
            where = ""
            self._alignment()
            for number in range(self.n_tensors or 0):
                where = f"tensor {number + 1} of {self.n_tensors}: "
                self._tensor()
            self.data_offset = -(-self.source.offset // self.alignment) * self.alignment
        except FaultError as fault:
            self.fault = Fault(self.path, fault.offset, where + fault.message, fault.remedy)
        return GgufFile(
            self.path, self.source.size, self.version, self.n_tensors, self.metadata, tuple(self.tensors),
            self.alignment, self.data_offset, self.fault,
        )  # fmt: skip

    def _header(self) -> None:
        head = self.source.head(HEAD_BYTES)
        if not head.startswith(types.MAGIC) and (other := other_format(head)):
            raise FaultError(0, f"not a GGUF file but {other.what}", other.remedy)
        if self.source.size < 24:
            raise FaultError(self.source.size, f"not a GGUF file: {self.source.size} bytes are too few")
        magic, version = self.source.unpack(_HEADER)
        if magic != types.MAGIC:
            raise FaultError(0, f"not a GGUF file: it begins with {magic!r}, not {types.MAGIC!r}")
        if version & 0xFFFF == 0 and version:
            raise FaultError(
                4, "a big-endian file, which the engine doesn't read on this machine", BIG_ENDIAN
            )
        if version not in (2, 3):
            raise FaultError(
                4, f"GGUF version {version}, where the engine reads 2 and 3", OLD if version < 2 else NEW
            )
        self.version = version
        self.n_tensors = self._count(8, "tensors")
        self.n_entries = self._count(16, "metadata entries")

    def _count(self, offset: int, what: str) -> int:
        count = self.source.u64()
        if count > MAX_ENTRIES:
            raise FaultError(offset, f"{count:,} {what}, where at most {MAX_ENTRIES:,} are read")
        return count

    def _entry(self) -> None:
        source = self.source
        begin = source.offset
        key = source.text(MAX_KEY)
        if not key:
            raise FaultError(begin, "the key is empty")
        if key in self.metadata:
            raise FaultError(begin, f"the key {shown(key)} is there a second time")
        try:
            self.metadata[key] = self._value()
        except FaultError as fault:
            raise FaultError(fault.offset, f"{shown(key)}: {fault.message}") from None

    def _value(self) -> Entry:
        source = self.source
        begin = source.offset
        kind = source.u32()
        if kind == types.ARRAY:
            return self._array()
        if kind == types.STRING:
            text, offset, length = source.optional_text(types.MAX_ARRAY)
            return Entry("str", None, offset, length, text)
        scalar = types.SCALARS.get(kind)
        if scalar is None:
            raise FaultError(begin, f"the type of the value is {kind}, which GGUF doesn't have")
        offset = source.offset
        (value,) = source.unpack(scalar.layout)
        return Entry(scalar.name, None, offset, scalar.layout.size, value)

    def _array(self) -> Entry:
        source = self.source
        begin = source.offset
        kind = source.u32()
        count = source.u64()
        offset = source.offset
        if count > types.MAX_ARRAY:
            raise FaultError(begin + 4, f"an array of {count:,} elements")
        if kind == types.STRING:
            source.skip_strings(count)
            return Entry("str", count, offset, source.offset - offset, None)
        scalar = types.SCALARS.get(kind)
        if scalar is None:
            raise FaultError(begin, f"the type of the array's elements is {kind}, which GGUF doesn't have")
        source.skip(count * scalar.layout.size, "an array")
        return Entry(scalar.name, count, offset, count * scalar.layout.size, None)

    def _alignment(self) -> None:
        entry = self.metadata.get("general.alignment")
        if entry is None:
            return
        value = entry.value
        if entry.type_name != types.SCALARS[types.U32].name or not isinstance(value, int):
            raise FaultError(entry.offset, f"general.alignment is of type {entry.type_name}, not u32")
        if value == 0 or value & (value - 1):
            raise FaultError(entry.offset, f"general.alignment is {value}, not a power of two")
        self.alignment = value

    def _tensor(self) -> None:
        source = self.source
        begin = source.offset
        name = source.text(types.MAX_TENSOR_NAME)
        n_dims = source.u32()
        if n_dims > types.MAX_DIMS:
            message = f"{shown(name)} has {n_dims} dimensions, more than {types.MAX_DIMS}"
            raise FaultError(source.offset - 4, message)
        *shape, type_number, offset = source.unpack(_DIMS[n_dims])
        self.tensors.append(Tensor(name, tuple(shape), type_number, offset, begin))
