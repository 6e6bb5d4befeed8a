"""Read /proc/PID/smaps into columns: one entry of each list is one mapping.

A process may have tens of thousands of mappings of 25 lines each. The kernel prints the same lines for
every mapping, with the values in columns of fixed width, so all of them are at the same distance from
the end of the mapping's first line. Where that doesn't hold the file is read line by line.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_FLAGS = b"VmFlags:"
_LINE_BYTES = 28  # "Rss:", spaces up to column 24 with the value, " kB" and the end of the line

# The lines of smaps that are kept (proc_pid_smaps(5)); each is in KiB there and in bytes here.
MEASURES = (
    b"Rss", b"Pss", b"Shared_Clean", b"Shared_Dirty", b"Private_Clean", b"Private_Dirty", b"Anonymous",
    b"AnonHugePages", b"Shared_Hugetlb", b"Private_Hugetlb", b"Swap", b"Locked", b"KernelPageSize",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Smaps:
    """The columns: addresses and offsets as numbers, ``measures`` by their names in smaps, in bytes."""

    start: list[int]
    end: list[int]
    permissions: list[str]
    offset: list[int]
    device: list[str]
    inode: list[int]
    path: list[str]
    measures: dict[bytes, list[int]]
    flags: list[bytes]

    def __len__(self) -> int:
        return len(self.start)


def parse_smaps(data: bytes) -> Smaps:
    """Return the mappings of a whole ``smaps`` file, in the order of their addresses."""
    try:
        return _columns(*_by_position(data))
    except _IrregularError:
        return _columns(*_by_name(data.splitlines()))


class _IrregularError(Exception):
    """The lines of some mapping aren't where those of the first are."""


def _is_header(line: bytes) -> bool:
    """Tell a mapping's first line from the others, whose first word ends with a colon."""
    return not line.split(None, 1)[0].endswith(b":")


def _by_position(data: bytes) -> tuple[list[bytes], dict[bytes, list[int]], list[bytes]]:
    """Read all values from the places that they have in the first mapping."""
    begin = data.find(b"\n") + 1
    length = data.find(_FLAGS, begin) - begin
    if not begin or length < 0:
        raise _IrregularError
    frame, names = _frame(data[begin : begin + length])
    headers, rows, flags = [], [], []
    at, end = 0, len(data)
    while at < end:
        begin = data.find(b"\n", at) + 1 or end
        stop = data.find(b"\n", begin + length)
        if stop < 0 or data[begin + length : begin + length + len(_FLAGS)] != _FLAGS:
            raise _IrregularError
        headers.append(data[at : begin - 1])
        rows.append(frame.unpack_from(data, begin))
        flags.append(data[begin + length : stop])
        at = stop + 1
    return headers, _measures(names, rows), flags


def _frame(lines: bytes) -> tuple[struct.Struct, list[bytes]]:
    """Return how to take the values out of the lines between the first and the flags."""
    names, layout = [], "<"
    for line in lines.splitlines(keepends=True):
        name = line.split(b":", 1)[0]
        # "%-16s%8lu kB": a value of more digits makes the line longer, and the place of the flags wrong.
        if name in MEASURES and len(line) == _LINE_BYTES:
            names.append(name)
            layout += "16s8s4x"
        else:
            layout += f"{len(line)}x"
    return struct.Struct(layout), names


def _measures(names: list[bytes], rows: list[tuple[bytes, ...]]) -> dict[bytes, list[int]]:
    columns = list(zip(*rows, strict=True))
    measures = {name: [0] * len(rows) for name in MEASURES}
    for at, name in enumerate(names):
        if set(columns[2 * at]) != {(name + b":").ljust(16)}:
            raise _IrregularError
        # Most values are the same few, 0 and 4 before all.
        texts = columns[2 * at + 1]
        known = {text: int(text) * 1024 for text in set(texts)}
        measures[name] = list(map(known.__getitem__, texts))
    return measures


def _by_name(lines: list[bytes]) -> tuple[list[bytes], dict[bytes, list[int]], list[bytes]]:
    """Read line by line: for a kernel that leaves out lines, and a file cut off in the middle."""
    headers: list[bytes] = []
    measures: dict[bytes, list[int]] = {name: [] for name in MEASURES}
    flags: list[bytes] = []
    for line in lines:
        if _is_header(line):
            headers.append(line)
            flags.append(b"")
            for column in measures.values():
                column.append(0)
            continue
        name, value = line.split(b":", 1)
        if name == b"VmFlags" and flags:
            flags[-1] = line
        elif name in measures and headers:
            measures[name][-1] = int(value.split()[0]) * 1024
    return headers, measures, flags


def _columns(headers: list[bytes], measures: dict[bytes, list[int]], flags: list[bytes]) -> Smaps:
    parts = [header.split(None, 5) for header in headers]
    ranges = [part[0].split(b"-") for part in parts]
    return Smaps(
        start=[int(low, 16) for low, _ in ranges],
        end=[int(high, 16) for _, high in ranges],
        permissions=[part[1].decode() for part in parts],
        offset=[int(part[2], 16) for part in parts],
        device=[part[3].decode() for part in parts],
        inode=[int(part[4]) for part in parts],
        # Kernels write a newline in a path as \012 and leave everything else as it is.
        path=[
            part[5].replace(rb"\012", b"\n").decode("utf-8", "surrogateescape") if len(part) > 5 else ""
            for part in parts
        ],
        measures=measures,
        flags=flags,
    )
