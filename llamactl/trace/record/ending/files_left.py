"""Files that a recorded program made in directories for temporary files: are they there, new, and in use?

Looked up when the recording ends, since only the file system knows: a file's birth (statx(2)) tells what this
run made from what it only opened, and whoever still has it open, or mapped, uses it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.process.answering import answered_stat, ask
from llamactl.process.files.file_roles import TEMPORARY_BYTES
from llamactl.process.files.holders import find_holders
from llamactl.process.files.sharers import mapped_by
from llamactl.process.kernel import birth_ns
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.decode.table import ARCH_NAMES, numbers

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture

MOST_FILES = 1000
"""So many are looked up; a program that leaves more is told of these."""
COARSE_NS = 20_000_000
"""The kernel stamps files with a clock of the timer's ticks, 10 ms at most, which may be behind ours."""

_O_CREAT = 0o100
_FLAGS_AT = {"open": 1, "openat": 2}
"""Which argument holds the flags; ``creat`` has none, those of ``openat2`` aren't kept."""


def files_left(capture: Capture) -> list[dict[str, Any]]:
    """Return what was opened to be made in a temporary directory and is there now, for the capture's metadata.

    ``born`` is whether its birth falls into the recording, None where that isn't known; ``in_use`` whether a
    process has it open or mapped, the program's own included.
    """
    made = dict(sorted(_made(capture).items(), key=lambda item: item[1])[:MOST_FILES])
    offset = int(capture.metadata.get("clock_offset_ns") or 0)
    found = {path: state for path, moment in made.items() if (state := _state(path, moment + offset))}
    held = find_holders({os.path.realpath(os.fsdecode(path)) for path in found}, os.getpid())
    for path, state in found.items():
        state["in_use"] = os.path.realpath(os.fsdecode(path)) in held or _mapped(path)
    return list(found.values())


def _made(capture: Capture) -> dict[bytes, int]:
    """Return each path that was opened with O_CREAT, and when first, ns of the capture's clock."""
    made: dict[bytes, int] = {}
    for chunk in capture.raw_pieces():
        rows = np.flatnonzero(
            (chunk["kind"] == Kind.SYSCALL)
            & (chunk["ret"] >= 0)
            & (chunk["text"] != 0)
            & ((chunk["flags"] & int(Flag.NO_EXIT)) == 0)
        )
        for row in _creating(chunk, rows).tolist():
            path = capture.text(int(chunk["text"][row]))
            if path.startswith(TEMPORARY_BYTES):
                begun = int(chunk["start"][row])
                made[path] = min(begun, made.get(path, begun))
    return made


def _creating(chunk: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which of the rows are opens with O_CREAT."""
    mine = np.zeros(len(rows), dtype=bool)
    nr, arch = chunk["nr"][rows], chunk["arch"][rows]
    for number in range(len(ARCH_NAMES)):
        table = numbers(number)
        for name, position in _FLAGS_AT.items():
            asked = (chunk["args"][rows, position] & np.uint64(_O_CREAT)) != 0
            mine |= (arch == number) & (nr == table.get(name, -1)) & asked
        mine |= (arch == number) & (nr == table.get("creat", -1))
    found: np.ndarray[Any, Any] = rows[mine]
    return found


def _state(path: bytes, opened_ns: int) -> dict[str, Any] | None:
    """Return what the file system says of a path now; None where there is nothing."""
    try:
        ask(os.fsdecode(path))
        birth = birth_ns(path)
    except (OSError, ValueError):
        return None
    born = None if birth is None else birth >= opened_ns - COARSE_NS
    return {"name": path.decode("utf-8", "backslashreplace"), "born": born}


def _mapped(path: bytes) -> bool:
    try:
        status = answered_stat(os.fsdecode(path))
    except OSError:
        return False
    return bool(mapped_by(status.st_dev, status.st_ino))
