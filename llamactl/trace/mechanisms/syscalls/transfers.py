"""Which system calls move bytes, and between which descriptors: the one list of them.

``sendfile``, ``copy_file_range`` and ``splice`` move bytes inside the kernel, from one descriptor to another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.mechanisms.view import View, codes_of

IntArray = NDArray[np.int64]

FILE_READS = ("read", "pread64", "readv", "preadv", "preadv2")
FILE_WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
NETWORK_READS = ("recvfrom", "recvmsg")
NETWORK_WRITES = ("sendto", "sendmsg")
PASSING = ("sendfile", "copy_file_range", "splice")
"""From one descriptor to another; only ``sendfile`` names the one that is written to first."""

_READ = codes_of((*FILE_READS, *NETWORK_READS))
_WRITE = codes_of((*FILE_WRITES, *NETWORK_WRITES))
_PASS = codes_of(PASSING)
_SEND = codes_of(("sendfile",))


def reading(view: View, resolved: IntArray, other: IntArray) -> tuple[IntArray, IntArray]:
    """Return which SYSCALL records take bytes out of something, and the name of that, NO_NAME where unknown.

    Args:
        view: A piece.
        resolved: The name of the first descriptor of each call.
        other: The name of the second one.
    """
    rows = np.flatnonzero((_READ | _PASS)[view.code])
    return rows, np.where(_SEND[view.code[rows]], other[rows], resolved[rows])


def taken(view: View, resolved: IntArray, other: IntArray) -> tuple[IntArray, IntArray]:
    """As :func:`reading`, but only those that got some."""
    rows, name = reading(view, resolved, other)
    some = view.ret[rows] > 0
    return rows[some], name[some]


def given(view: View, resolved: IntArray, other: IntArray) -> tuple[IntArray, IntArray]:
    """Return which SYSCALL records put bytes into something, and the name of that; arguments as of :func:`reading`."""
    rows = np.flatnonzero((_WRITE | _PASS)[view.code] & (view.ret > 0))
    code = view.code[rows]
    return rows, np.where(_PASS[code] & ~_SEND[code], other[rows], resolved[rows])
