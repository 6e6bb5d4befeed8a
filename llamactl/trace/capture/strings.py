"""The strings of a capture: one growing arena of length-prefixed byte strings that records point into.

A record holds a *reference*: the offset of the string in the arena plus one, 0 for none. The arena is
stored in pieces, each a chunk of its own; a string never crosses the end of a piece.
"""

from __future__ import annotations

import struct
from bisect import bisect_right

LENGTH = struct.Struct("<I")
ARENA_LIMIT = 2**32 - 2
"""References are 32 bits: strings beyond 4 GiB are dropped, and their records say so by having none."""

KNOWN_LIMIT = 65536
KNOWN_BYTES = 8 << 20
"""Strings are remembered up to so many, and so long together: a recording may go on for weeks."""


def encode(data: bytes) -> bytes:
    """Return one string as it lies in the arena."""
    return LENGTH.pack(len(data)) + data


class StringTable:
    """The writing side: hands out references and remembers strings that come again.

    Attributes:
        length: Bytes of arena handed out so far.
    """

    def __init__(self) -> None:
        self.length = 0
        self._pending = bytearray()
        self._known: dict[bytes, int] = {}
        self._known_bytes = 0

    def add(self, data: bytes) -> int:
        """Return the reference to ``data``; the same bytes usually get the same reference."""
        known = self._known.get(data)
        if known is not None:
            return known
        if self.length + LENGTH.size + len(data) > ARENA_LIMIT:
            return 0
        if len(self._known) >= KNOWN_LIMIT or self._known_bytes + len(data) > KNOWN_BYTES:
            self._known.clear()
            self._known_bytes = 0
        reference = self.length + 1
        self._pending += encode(data)
        self.length += LENGTH.size + len(data)
        self._known[data] = reference
        self._known_bytes += len(data)
        return reference

    def append(self, arena: bytes | memoryview) -> int:
        """Take strings that are encoded already; return what to add to their own references.

        Returns:
            The offset at which ``arena`` begins, or -1 when there is no room for it.
        """
        if self.length + len(arena) > ARENA_LIMIT:
            return -1
        base = self.length
        self._pending += arena
        self.length += len(arena)
        return base

    def take(self) -> bytes:
        """Return the arena's bytes that haven't been taken yet."""
        pending = bytes(self._pending)
        self._pending.clear()
        return pending


class StringPieces:
    """The reading side: finds a string in the pieces of the arena.

    Args:
        pieces: The chunks' payloads in the order of the file.
    """

    def __init__(self, pieces: list[memoryview]) -> None:
        self._pieces = pieces
        self._starts: list[int] = []
        start = 0
        for piece in pieces:
            self._starts.append(start)
            start += len(piece)

    def get(self, reference: int) -> bytes:
        """Return the string; empty for reference 0 and for one that the file was cut off before."""
        offset = reference - 1
        if offset < 0 or not self._pieces:
            return b""
        index = bisect_right(self._starts, offset) - 1
        piece = self._pieces[index]
        begin = offset - self._starts[index]
        if begin + LENGTH.size > len(piece):
            return b""
        (length,) = LENGTH.unpack_from(piece, begin)
        begin += LENGTH.size
        return bytes(piece[begin : begin + length])
