"""Memory of the machine, and what of it this process may take."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llamactl.process.cgroup import hierarchy
from llamactl.process.small_files import read_int, read_text
from llamactl.snapshot.host.capabilities import capabilities

_KIB: Final = 1024
_NO_LIMIT_V1: Final = 1 << 60
"""Version 1 has no word for "none": it says a number near 2**63."""


@dataclass(frozen=True, slots=True)
class HugePages:
    """Pages larger than the usual.

    Attributes:
        transparent: ``always``, ``madvise`` or ``never``, ``absent`` if the kernel hasn't any; None if it doesn't say,
            as without ``/sys``.
        in_use_bytes: Anonymous memory in transparent huge pages.
        reserved: Pages set aside with ``vm.nr_hugepages``.
        reserved_free: Of these, not in use.
        page_bytes: Size of one.
    """

    transparent: str | None
    in_use_bytes: int | None
    reserved: int | None
    reserved_free: int | None
    page_bytes: int | None


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """The limit of a control group, the narrowest up the tree.

    Attributes:
        limit_bytes: It may hold that much.
        used_bytes: It holds now, page cache included.
        reclaimable_bytes: Of that, page cache that the kernel drops before it kills; None if unknown.
        source: The file that sets the limit.
    """

    limit_bytes: int
    used_bytes: int | None
    reclaimable_bytes: int | None
    source: str

    @property
    def headroom_bytes(self) -> int | None:
        """What is left before the kernel kills, page cache dropped."""
        if self.used_bytes is None:
            return None
        return self.limit_bytes - self.used_bytes + (self.reclaimable_bytes or 0)


@dataclass(frozen=True, slots=True)
class Memory:
    """All of it, in bytes; None where the kernel doesn't say.

    Attributes:
        total_bytes: Of the machine.
        available_bytes: Can be taken without swapping.
        page_cache_bytes: Files in memory.
        swap_total_bytes: Room for swapping.
        swap_free_bytes: Of that, unused.
        swappiness: How readily the kernel swaps, 0 to 200.
        overcommit: ``vm.overcommit_memory``: 0 heuristic, 1 always, 2 never.
        huge_pages: Pages larger than the usual.
        group: The control group's limit; None if there is none.
        memlock_bytes: This process may lock with ``mlock``; None for no limit, as with
            CAP_IPC_LOCK.
    """

    total_bytes: int | None
    available_bytes: int | None
    page_cache_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    swappiness: int | None
    overcommit: int | None
    huge_pages: HugePages
    group: GroupLimit | None
    memlock_bytes: int | None


def memory(root: Path = Path("/")) -> Memory:
    """Return the memory of the machine whose ``/proc`` and ``/sys`` are below ``root``."""
    sizes = _meminfo(root)
    memlock = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    unlimited = memlock == resource.RLIM_INFINITY or "CAP_IPC_LOCK" in capabilities(root)
    return Memory(
        total_bytes=sizes.get("MemTotal"),
        available_bytes=sizes.get("MemAvailable"),
        page_cache_bytes=sizes.get("Cached"),
        swap_total_bytes=sizes.get("SwapTotal"),
        swap_free_bytes=sizes.get("SwapFree"),
        swappiness=read_int(root / "proc/sys/vm/swappiness"),
        overcommit=read_int(root / "proc/sys/vm/overcommit_memory"),
        huge_pages=_huge_pages(root, sizes),
        group=_group(root),
        memlock_bytes=None if unlimited else memlock,
    )


def _meminfo(root: Path) -> dict[str, int]:
    """Return bytes, but counts for the lines without a unit (proc_meminfo(5))."""
    found = {}
    for line in (read_text(root / "proc/meminfo") or "").split("\n"):
        key, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if number.isdigit():
            found[key] = int(number) * (_KIB if unit == "kB" else 1)
    return found


def _huge_pages(root: Path, sizes: dict[str, int]) -> HugePages:
    place = root / "sys/kernel/mm"
    choice = read_text(place / "transparent_hugepage/enabled") or ""
    chosen = next((word.strip("[]") for word in choice.split() if word.startswith("[")), None)
    if chosen is None and place.is_dir() and not (place / "transparent_hugepage").exists():
        chosen = "absent"
    return HugePages(
        chosen, sizes.get("AnonHugePages"), sizes.get("HugePages_Total"), sizes.get("HugePages_Free"),
        sizes.get("Hugepagesize"),
    )  # fmt: skip


def _group(root: Path) -> GroupLimit | None:
    found = hierarchy("memory", root=root)
    if found is None:
        return None
    names = (
        ("memory.max", "memory.current", "inactive_file")
        if found.version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    limits = [
        GroupLimit(limit, read_int(folder / names[1]), _stat(folder, names[2]), str(folder / names[0]))
        for folder in found.upwards()
        if (limit := read_int(folder / names[0])) is not None and limit < _NO_LIMIT_V1
    ]
    return min(limits, key=lambda each: each.limit_bytes, default=None)


@dataclass(frozen=True, slots=True)
class Headroom:
    """Memory that this process can take before the kernel swaps or kills.

    Attributes:
        bytes: None where the kernel doesn't say.
        source: The file of the control group that sets the limit; None for the machine.
    """

    bytes: int | None
    source: str | None


def headroom(root: Path = Path("/")) -> Headroom:
    """Return what the machine and every control group up the tree leave, the least of them.

    Of a group, the page cache counts as free: the kernel drops it before it kills.
    """
    found = [Headroom(_meminfo(root).get("MemAvailable"), None)]
    for folder, limit in _limits(root):
        used = read_int(folder / limit.replace("max", "current").replace("limit", "usage"))
        if used is not None and (most := read_int(folder / limit)) is not None:
            prefix = "" if limit == "memory.max" else "total_"
            cache = sum(_stat(folder, f"{prefix}{kind}_file") or 0 for kind in ("inactive", "active"))
            found.append(Headroom(max(most - used + min(cache, used), 0), str(folder / limit)))
    known = [one for one in found if one.bytes is not None]
    return min(known, key=lambda one: one.bytes or 0, default=found[0])


def total_bytes(root: Path = Path("/")) -> int | None:
    """Return the machine's memory."""
    return _meminfo(root).get("MemTotal")


def _limits(root: Path) -> list[tuple[Path, str]]:
    """Return each directory with a limit, and the name of its file."""
    found = hierarchy("memory", root=root)
    if found is None:
        return []
    name = "memory.max" if found.version == 2 else "memory.limit_in_bytes"
    return [
        (folder, name)
        for folder in found.upwards()
        if (limit := read_int(folder / name)) is not None and limit < _NO_LIMIT_V1
    ]


def _stat(folder: Path, key: str) -> int | None:
    for line in (read_text(folder / "memory.stat") or "").split("\n"):
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return None
