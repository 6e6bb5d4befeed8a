"""Read /proc/PID/smaps into columns: one entry of each list is one mapping.

A process may have tens of thousands of mappings of 25 lines each, so the file is taken apart in C
(``native/snapshot/proc.c``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from llamactl.process._proc import ffi, lib
from llamactl.process.memory.address_ranges import AddressRanges

# The lines of smaps that are kept (proc_pid_smaps(5)), in the order of the columns in native/snapshot/proc.c; each is in
# KiB there and in bytes here.
MEASURES = (
    b"Rss", b"Pss", b"Shared_Clean", b"Shared_Dirty", b"Private_Clean", b"Private_Dirty", b"Anonymous",
    b"AnonHugePages", b"Shared_Hugetlb", b"Private_Hugetlb", b"Swap", b"Locked", b"KernelPageSize",
)  # fmt: skip
_FIRST_MEASURE = 9
_PERMISSIONS = tuple(
    "".join(letter if bits >> at & 1 else "-" for at, letter in enumerate("rwx")) + ("s" if bits & 8 else "p")
    for bits in range(16)
)


@dataclass(frozen=True)
class Smaps:
    """The columns: addresses and offsets as numbers, ``measures`` by their names in smaps, in bytes.

    ``huge_pages`` tells which mappings are of reserved huge pages (the flag ``ht``).
    """

    start: list[int]
    end: list[int]
    permissions: list[str]
    offset: list[int]
    device: list[str]
    inode: list[int]
    path: list[str]
    measures: dict[bytes, list[int]]
    huge_pages: list[int]

    def __len__(self) -> int:
        return len(self.start)

    @cached_property
    def ranges(self) -> AddressRanges:
        """The mappings, to be found by address."""
        return AddressRanges(zip(self.start, self.end, strict=True))


def parse_smaps(data: bytes) -> Smaps:
    """Return the mappings of a whole ``smaps`` file, in the order of their addresses."""
    # Every mapping begins with its addresses and then its size; one more for a file cut off before that.
    capacity = data.count(b"\nSize:") + 1
    block = ffi.new("int64_t[]", lib.LLAMACTL_MAPPING_COLUMNS * capacity)
    count = lib.llamactl_parse_smaps(data, len(data), block, capacity)
    columns = [ffi.unpack(block + at * capacity, count) for at in range(lib.LLAMACTL_MAPPING_COLUMNS)]
    start, end, permissions, offset, device, inode, path_at, path_end, huge = columns[:_FIRST_MEASURE]
    devices = {number: f"{number >> 32:02x}:{number & 0xFFFFFFFF:02x}" for number in set(device)}
    return Smaps(
        # The addresses of [vsyscall] have the highest bit set.
        start=[address & 0xFFFFFFFFFFFFFFFF for address in start],
        end=[address & 0xFFFFFFFFFFFFFFFF for address in end],
        permissions=[_PERMISSIONS[bits] for bits in permissions],
        offset=offset,
        device=[devices[number] for number in device],
        inode=inode,
        path=[
            _path(data[low:high]) if low < high else "" for low, high in zip(path_at, path_end, strict=True)
        ],
        measures=dict(zip(MEASURES, columns[_FIRST_MEASURE:], strict=True)),
        huge_pages=huge,
    )


def _path(text: bytes) -> str:
    # Kernels write a newline in a path as \012 and leave everything else as it is.
    return text.replace(rb"\012", b"\n").decode("utf-8", "surrogateescape")
