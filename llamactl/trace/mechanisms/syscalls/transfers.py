"""Which records move bytes, and between which descriptors; which calls do is said by their rows in ``decode``.

``sendfile``, ``copy_file_range`` and ``splice`` move bytes inside the kernel, from one descriptor to another.
"""

from __future__ import annotations

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.decode.table import ROWS, moving
from llamactl.trace.mechanisms.view import View, codes_of

FILE_READS, FILE_WRITES = moving("in", network=False), moving("out", network=False)
PASSING = moving("over")

_READ, _WRITE, _PASS = (codes_of(moving(way)) for way in ("in", "out", "over"))
_SEND = codes_of(row.name for row in ROWS if row.moves == "over" and row.arguments.startswith("out"))
"""Those that name the descriptor that is written to first."""


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
