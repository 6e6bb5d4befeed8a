"""How a capture file is laid out: what the writer and the reader agree on.

``MAGIC``, a u32 version, a u32 zero, then chunks: u32 type, u32 flags (0), u64 payload length, payload,
zeros up to a multiple of 8. Little-endian. A type that a reader doesn't know is skipped.
"""

from __future__ import annotations

import struct
from enum import IntEnum

MAGIC = b"llamactl capture"
VERSION = 1
FILE_HEADER = struct.Struct("<16sII")
CHUNK_HEADER = struct.Struct("<IIQ")
ALIGNMENT = 8
"""Every payload begins at a multiple of 8, so numpy reads the records' fields aligned."""


class Chunk(IntEnum):
    """What a chunk holds."""

    METADATA = 1
    """A JSON object in UTF-8; later objects replace the keys of earlier ones."""
    RECORDS = 2
    """Whole records of 96 bytes."""
    STRINGS = 3
    """The next piece of the string arena."""
    END = 4
    """Nothing: the recording was closed in order."""


def padding(length: int) -> int:
    """Return how many zeros follow a payload of ``length`` bytes."""
    return -length % ALIGNMENT
