"""How the agent's shared memory is laid out. Must agree with ``llamactl/native/agent/ring.h``."""

from __future__ import annotations

import struct

import numpy as np

from llamactl.trace.capture.record import RECORD

MAGIC = 0x31676E6952616C6C
VERSION = 3
MAX_THREADS = 256
MAX_DEPTH = 16
MAX_SITES = 4096
ENVIRONMENT = "LLAMACTL_AGENT_RING"

SITE = np.dtype(
    [
        ("hash", "<u8"),
        ("name", "<u4"),
        ("caller", "<u4"),
        ("library", "<u4"),
        ("keeps", "<u4"),
        ("via", "<u2"),
        ("returns", "<u2"),
        ("ready", "<u4"),
    ]
)
THREAD = np.dtype(
    [
        ("owner", "<u8"),
        ("depth", "<u4"),
        ("released", "<u4"),
        ("released_at", "<u8"),
        ("place", "<u4"),
        ("unused", "<u4", (9,)),
        ("frames", RECORD, (MAX_DEPTH,)),
    ]
)
HEADER = np.dtype(
    {
        "names": [
            "magic",
            "version",
            "header_size",
            "size",
            "records",
            "arena",
            "sites",
            "threads",
            "counts",
            "key",
            "capacity",
            "arena_size",
            "head",
            "tail",
            "lost_full",
            "lost_threads",
            "lost_depth",
            "lost_sites",
            "lost_texts",
            "arena_used",
            "sites_used",
            "processes",
            "free_threaded",
            "python",
            "watch",
        ],
        "formats": ["<u8", "<u4", "<u4", *["<u8"] * 7, "<u4", "<u4", *["<u8"] * 7, *["<u4"] * 6],
        "offsets": [
            *(0, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 76),
            *(128, 192),  # head and tail, each in a cache line of its own
            *(256, 264, 272, 280, 288, 296, 300, 304, 308, 312, 316),
        ],
        "itemsize": 320,
    }
)
COUNT = np.dtype([("calls", "<u8"), ("ns", "<u8")])
LENGTH = struct.Struct("<I")
"""What comes before each string of the arena."""

VIA = ("plt", "dlsym", "inner", "engine")

assert SITE.itemsize == 32
assert THREAD.itemsize == 64 + RECORD.itemsize * MAX_DEPTH
