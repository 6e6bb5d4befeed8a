"""The texts of /proc taken apart: the one place that knows where a line, a name and a path end.

Names of processes, programs and mapped files are chosen by whoever runs them and may hold any byte. The kernel
writes most of them as they are. So these files are read as bytes (a text file of Python's turns a carriage
return into a line's end), only a newline ends a line, and what comes after a name is found from the right.
"""

from __future__ import annotations

from typing import NamedTuple

_ESCAPED_NEWLINE = rb"\012"


class MapsLine(NamedTuple):
    """One mapping as ``/proc/PID/maps`` tells it (proc_pid_maps(5)).

    ``rights`` is such as ``r-xp``, ``device`` is ``major:minor`` in hexadecimal; ``path`` is empty for
    anonymous memory and a newline in it is a newline.
    """

    start: int
    end: int
    rights: str
    offset: int
    device: str
    inode: int
    path: bytes


def proc_lines(data: bytes) -> list[str]:
    """Return the lines of a file of /proc; bytes that aren't UTF-8 become lone surrogates."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return lines if lines[-1] else lines[:-1]


def status_fields(data: bytes) -> dict[str, str]:
    """Return the lines ``Name: value`` of such files as ``status``, ``io`` or ``fdinfo`` (proc_pid_status(5)).

    A name that comes again is somebody's doing: the first one counts.
    """
    found: dict[str, str] = {}
    for line in proc_lines(data):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name, value.strip(" \t"))
    return found


def stat_fields(data: bytes) -> tuple[str, list[str]]:
    """Return the name and the fields from the third on of a ``stat`` file (proc_pid_stat(5)).

    The name may hold spaces, parentheses and newlines, so it ends at the last parenthesis.

    Raises:
        ValueError: It is cut off before the name's end, such as the empty one of a process that has ended.
    """
    before, closing, after = data.rpartition(b") ")
    _, opening, name = before.partition(b" (")
    if not closing or not opening:
        raise ValueError("a stat file without a name")
    return name.decode("utf-8", "surrogateescape"), after.decode("ascii", "replace").split()


def comm_name(data: bytes) -> bytes:
    """Return the name in a ``comm`` file (proc_pid_comm(5)): one newline is the kernel's, others are the name's."""
    return data.removesuffix(b"\n")


def maps_lines(data: bytes) -> list[MapsLine]:
    """Return the mappings in a ``maps`` file; a line that was cut off is left out."""
    return [found for line in data.split(b"\n") if (found := _maps_line(line)) is not None]


def _maps_line(line: bytes) -> MapsLine | None:
    # Only spaces part the fields, and the path's own come after all others.
    span, *rest = line.split(b" ", 5)
    if len(rest) < 4:
        return None
    rights, offset, device, inode, *path = rest
    start, _, end = span.partition(b"-")
    name = path[0].lstrip(b" ").replace(_ESCAPED_NEWLINE, b"\n") if path else b""
    try:
        return MapsLine(
            int(start, 16), int(end, 16), rights.decode("ascii", "replace"), int(offset, 16),
            device.decode("ascii", "replace"), int(inode), name,
        )  # fmt: skip
    except ValueError:
        return None
