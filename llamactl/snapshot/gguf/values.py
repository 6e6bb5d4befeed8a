"""Arrays and long strings of the metadata, read when someone asks for them."""

from __future__ import annotations

import os
import struct
from typing import Final, TypeAlias

from llamactl.errors import UsageError
from llamactl.snapshot.gguf import types
from llamactl.snapshot.gguf.header import Entry, GgufFile, MetadataScalar, open_regular

MAX_VALUE_BYTES: Final = 64 * 1024 * 1024
"""Largest value that is read into memory."""

MAX_TEXT_BYTES: Final = 2**20
"""Of one text, such as a chat template, so much is read; the longest in use have some 20,000."""

Value: TypeAlias = MetadataScalar | list[int | float | bool] | list[str]

_LAYOUTS: Final = {scalar.name: scalar.layout for scalar in types.SCALARS.values()}


def read(file: GgufFile, key: str, limit: int | None = None) -> Value | None:
    """Return a metadata value, None if the key isn't there; of a text the first MiB.

    Args:
        file: Of :func:`llamactl.snapshot.gguf.header.read`.
        key: Such as ``tokenizer.ggml.tokens``.
        limit: Most elements of an array; None for all.

    Raises:
        UsageError: The value is larger than 64 MiB, or the file can't be read any more.
    """
    entry = file.metadata.get(key)
    if entry is None or entry.value is not None:
        return entry.value if entry else None
    if entry.count is None:
        return _bytes(file.path, entry, min(entry.nbytes, MAX_TEXT_BYTES)).decode("utf-8", "backslashreplace")
    if entry.nbytes > MAX_VALUE_BYTES and limit is None:
        raise UsageError(f"{key} of {file.path} has {entry.nbytes:,} bytes, too many to show")
    count = entry.count if limit is None else min(limit, entry.count)
    if entry.type_name == "str":
        return _strings(_bytes(file.path, entry, _enough(entry, count)), count)
    layout = _LAYOUTS[entry.type_name]
    raw = _bytes(file.path, entry, count * layout.size)
    return [value for (value,) in layout.iter_unpack(raw)]


def _enough(entry: Entry, count: int) -> int:
    """Bytes to read for the first strings: what all have, or 4 KiB for each when only some are wanted."""
    return entry.nbytes if count == entry.count else min(entry.nbytes, 4096 * count, MAX_VALUE_BYTES)


def _bytes(path: str, entry: Entry, nbytes: int) -> bytes:
    fd = open_regular(path)
    try:
        return os.pread(fd, nbytes, entry.offset)
    finally:
        os.close(fd)


def _strings(raw: bytes, count: int) -> list[str]:
    """Decode up to ``count`` strings, fewer where ``raw`` ends before."""
    length_of = struct.Struct("<Q")
    found: list[str] = []
    position = 0
    while len(found) < count and position + 8 <= len(raw):
        (length,) = length_of.unpack_from(raw, position)
        position += 8 + length
        if position > len(raw):
            break
        found.append(raw[position - length : position].decode("utf-8", "backslashreplace"))
    return found
