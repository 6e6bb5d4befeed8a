"""Read /proc/PID/smaps into columns: one entry of each list is one mapping.

A process may have tens of thousands of mappings of 25 lines each, so the file is split once and the
lines are taken by their distance from the first line of their mapping, which is the same in all of
them: the kernel prints every line for every mapping.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    stride = _stride(lines)
    if stride and len(lines) % stride == 0 and _regular(lines, stride):
        return _columns(lines[::stride], *_by_position(lines, stride))
    return _columns(*_by_name(lines))


def _is_header(line: bytes) -> bool:
    """Tell a mapping's first line from the others, whose first word ends with a colon."""
    return not line.split(None, 1)[0].endswith(b":")


def _stride(lines: list[bytes]) -> int:
    return next((i for i, line in enumerate(lines) if i and _is_header(line)), len(lines))


def _regular(lines: list[bytes], stride: int) -> bool:
    names = [line.split(b":", 1)[0] + b":" for line in lines[1:stride]]
    return all(
        all(line.startswith(name) for line in lines[at::stride]) for at, name in enumerate(names, start=1)
    )


def _by_position(lines: list[bytes], stride: int) -> tuple[dict[bytes, list[int]], list[bytes]]:
    names = [line.split(b":", 1)[0] for line in lines[1:stride]]
    count = len(lines) // stride
    measures = {}
    for name in MEASURES:
        at = names.index(name) + 1 if name in names else 0
        column = [int(line[16:-3]) * 1024 for line in lines[at::stride]] if at else [0] * count
        measures[name] = column
    flags = lines[names.index(b"VmFlags") + 1 :: stride] if b"VmFlags" in names else [b""] * count
    return measures, flags


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
