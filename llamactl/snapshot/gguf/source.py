"""Bounded reading of a file that may be damaged or hostile: no length in it is believed."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any, Final

from llamactl.snapshot import _gguf

WINDOW: Final = 64 * 1024
READ_BUDGET: Final = 256 * 1024 * 1024
"""Bytes of header that are read at most; the largest vocabularies take a tenth of it."""
TEXT_BUDGET: Final = 8 * 1024 * 1024
"""Bytes of keys and strings that are kept at most."""
MAX_KEPT_STRING: Final = 64 * 1024

FEW_STRINGS: Final = 2048
"""More strings than this are at least a quarter of a window."""
TOO_LONG: Final = f"reading the header takes more than {READ_BUDGET:,} bytes"

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong with a file.

    Attributes:
        path: The file.
        offset: Byte offset in the file where it shows.
        message: What is wrong, with the value found; no full stop.
        remedy: What to do, as a sentence, where that follows from what the file is.
    """

    path: str
    offset: int
    message: str
    remedy: str = ""


def shown(name: str) -> str:
    """Return a name from a file in quotes, short enough for one line: a damaged length can make it huge."""
    return repr(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


class FaultError(Exception):
    """Reading can't go on; inside this package only, callers get a :class:`Fault`."""

    def __init__(self, offset: int, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.remedy = remedy


class Source:
    """A window that moves forward over an open file.

    Args:
        fd: Of a regular file, open for reading; stays the caller's.
        size: The file's length in bytes.
    """

    __slots__ = ("_base", "_budget", "_bytes", "_fd", "_position", "_text_left", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.size = size
        self._fd = fd
        self._bytes = b""
        self._base = 0
        self._position = 0
        self._budget = READ_BUDGET
        self._text_left = TEXT_BUDGET

    @property
    def offset(self) -> int:
        """Byte offset in the file of what is read next."""
        return self._base + self._position

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Read one fixed-size record."""
        self._need(layout.size)
        values = layout.unpack_from(self._bytes, self._position)
        self._position += layout.size
        return values

    def head(self, length: int) -> bytes:
        """Return the next bytes, as many as there are, without moving on."""
        length = min(length, self.size - self.offset)
        self._need(length)
        return self._bytes[self._position : self._position + length]

    def u32(self) -> int:
        """Read an unsigned 32-bit number."""
        self._need(4)
        (value,) = _U32.unpack_from(self._bytes, self._position)
        self._position += 4
        return int(value)

    def u64(self) -> int:
        """Read an unsigned 64-bit number."""
        self._need(8)
        (value,) = _U64.unpack_from(self._bytes, self._position)
        self._position += 8
        return int(value)

    def text(self, limit: int) -> str:
        """Read a string of at most ``limit`` bytes; what isn't UTF-8 becomes backslash escapes."""
        begin = self.offset
        length = self.u64()
        if length > limit:
            raise FaultError(begin, f"a string of {length:,} bytes where at most {limit:,} are allowed")
        self._keep(length, begin)
        self._need(length)
        raw = self._bytes[self._position : self._position + length]
        self._position += length
        return raw.decode("utf-8", "backslashreplace")

    def optional_text(self, limit: int) -> tuple[str | None, int, int]:
        """Read a string, or only pass over it when it is longer than what is kept.

        Returns:
            The text or None, the offset of its first byte, its length in bytes.
        """
        begin = self.offset
        length = self.u64()
        if length > limit:
            raise FaultError(begin, f"a string of {length:,} bytes where at most {limit:,} are allowed")
        self._inside(length, "a string", begin)
        if length > min(MAX_KEPT_STRING, self._text_left):
            self.skip(length, "a string")
            return None, begin + 8, length
        self._keep(length, begin)
        self._need(length)
        raw = self._bytes[self._position : self._position + length]
        self._position += length
        return raw.decode("utf-8", "backslashreplace"), begin + 8, length

    def skip(self, length: int, what: str) -> None:
        """Pass over ``length`` bytes without reading them."""
        begin = self.offset
        self._inside(length, what, begin)
        self._position += length

    def skip_strings(self, count: int) -> None:
        """Pass over ``count`` strings; only their lengths are looked at, of many in C."""
        if count <= FEW_STRINGS:
            self._skip_few(count)
        else:
            self._skip_many(count)

    def _skip_few(self, count: int) -> None:
        """Stay in the window: C would read one of its own, and the next field this one again."""
        for number in range(count):
            begin = self.offset
            if self.size - begin < _U64.size or (length := self.u64()) > self.size - self.offset:
                raise self._past_the_end(begin, number + 1, count)
            self._position += length

    def _past_the_end(self, offset: int, number: int, count: int) -> FaultError:
        which = f"string {number:,} of {count:,}"
        return FaultError(offset, f"{which} reaches past the end of the file ({self.size:,})")

    def _skip_many(self, count: int) -> None:
        walk = _gguf.ffi.new("struct llamactl_gguf_walk *", {"offset": self.offset, "budget": self._budget})
        status = _gguf.lib.llamactl_gguf_skip_strings(self._fd, self.size, count, walk)
        self._budget = walk.budget
        if status == _gguf.lib.LLAMACTL_GGUF_READ:
            raise OSError(walk.error, os.strerror(walk.error))
        if status == _gguf.lib.LLAMACTL_GGUF_BUDGET:
            raise FaultError(walk.offset, TOO_LONG)
        if status == _gguf.lib.LLAMACTL_GGUF_ENDS:
            raise self._past_the_end(walk.offset, walk.done + 1, count)
        self._bytes, self._base, self._position = b"", walk.offset, 0

    def _inside(self, length: int, what: str, begin: int) -> None:
        if length > self.size - self.offset:
            raise FaultError(
                begin, f"{what} of {length:,} bytes reaches past the end of the file ({self.size:,})"
            )

    def _keep(self, length: int, begin: int) -> None:
        self._text_left -= length
        if self._text_left < 0:
            raise FaultError(begin, f"more than {TEXT_BUDGET:,} bytes of keys")

    def _need(self, length: int) -> None:
        """Make the next ``length`` bytes readable in the window."""
        if length <= len(self._bytes) - self._position:
            return
        begin = self.offset
        self._inside(length, "a field", begin)
        want = min(max(WINDOW, length), self.size - begin)
        self._budget -= want
        if self._budget < 0:
            raise FaultError(begin, TOO_LONG)
        self._bytes = os.pread(self._fd, want, begin)
        self._base, self._position = begin, 0
        if len(self._bytes) < length:
            raise FaultError(begin, "the file became shorter while it was read")
