"""The mappings of a process as facts, with the role of each."""

from __future__ import annotations

from typing import NamedTuple

from llamactl.process.memory.mapping_roles import Role
from llamactl.process.memory.smaps import Smaps
from llamactl.process.reach import DELETED


class Mapping(NamedTuple):
    """One mapping. A named tuple and not a dataclass: there can be tens of thousands of them.

    Sizes are in bytes and named as in proc_pid_smaps(5); ``huge_bytes`` are those in transparent or
    reserved huge pages; ``device`` is ``major:minor`` in hexadecimal.
    """

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str
    deleted: bool
    role: str
    detail: str
    size_bytes: int
    resident_bytes: int
    pss_bytes: int
    shared_clean_bytes: int
    shared_dirty_bytes: int
    private_clean_bytes: int
    private_dirty_bytes: int
    anonymous_bytes: int
    huge_bytes: int
    swap_bytes: int
    locked_bytes: int
    page_bytes: int


def build_mappings(maps: Smaps, roles: list[Role]) -> list[Mapping]:
    """Join the columns of smaps with the roles."""
    measures = maps.measures
    deleted = [path.endswith(DELETED) for path in maps.path]
    huge_kinds = (measures[name] for name in (b"AnonHugePages", b"Shared_Hugetlb", b"Private_Hugetlb"))
    huge = map(sum, zip(*huge_kinds, strict=True))
    columns = zip(
        maps.start, maps.end, maps.permissions, maps.offset, maps.device, maps.inode,
        [path.removesuffix(DELETED) for path in maps.path], deleted,
        [role for role, _ in roles], [detail for _, detail in roles],
        [end - start for start, end in zip(maps.start, maps.end, strict=True)],
        measures[b"Rss"], measures[b"Pss"], measures[b"Shared_Clean"], measures[b"Shared_Dirty"],
        measures[b"Private_Clean"], measures[b"Private_Dirty"], measures[b"Anonymous"], huge,
        measures[b"Swap"], measures[b"Locked"], measures[b"KernelPageSize"], strict=True,
    )  # fmt: skip
    return list(map(Mapping._make, columns))
