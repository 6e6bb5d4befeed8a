"""How the model came into memory: load mode in force, bytes and seconds each way, disk against page cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llamactl.trace.mechanisms.files.files import FileRow
from llamactl.trace.mechanisms.mapping.mapping_rows import DELETED, MODEL, MappingRow, mapped_sizes
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots

_MOST = 0.5
"""A way that moved at least half of the model file is the way it was loaded."""


@dataclass(frozen=True, slots=True)
class LoadFacts:
    """One model file. ``mode`` is ``mmap``, ``mmap+mlock``, ``read``, ``direct`` or ``unknown``."""

    name: str
    count: int
    """Calls on the file."""
    mode: str
    evidence: str
    mapped_bytes: int
    """The most that one process has mapped of it; processes share these pages."""
    processes: int
    """How many processes mapped it."""
    read_bytes: int
    read_s: float
    map_s: float | None
    """Time inside the mmap calls; with ``populated`` the pages were brought in there."""
    populated: bool
    locked: bool
    resident_advice: tuple[str, ...]
    """Advice given for its mapping, such as MADV_WILLNEED."""
    minor_faults: int | None
    major_faults: int | None


def load_facts(
    files: list[FileRow],
    mappings: list[MappingRow],
    blind: BlindSpots,
    open_files: Mapping[bytes, int] | None = None,
    mapped: list[MappingRow] | None = None,
) -> list[LoadFacts]:
    """Return what was done with each model file that the program opened or mapped, or had when recording began.

    Args:
        files: What was done with files.
        mappings: All mappings.
        blind: What wasn't seen.
        open_files: Descriptors by file when recording began.
        mapped: The mappings of that moment.
    """
    rows = {_text(row.name): row for row in files if row.name.endswith(MODEL)}
    found = {
        name: _facts(row, _named(name, mappings), blind)
        for name, row in rows.items()
        if (row.opens or row.mapped_bytes) and not _seen_by_another_name(name, row, rows)
    }
    there = [row.name for row in mapped or [] if row.role == "weights"]
    opened = [_text(name) for name in open_files or {} if name.removesuffix(DELETED).endswith(MODEL)]
    for name in (*there, *opened):
        if name not in found:
            found[name] = _from_start(name, rows.get(name), _named(name, mapped or []))
    return list(found.values())


def _seen_by_another_name(name: str, row: FileRow, rows: Mapping[str, FileRow]) -> bool:
    """Tell whether a file that was only opened, by a name within a directory, is there by its whole name, too."""
    used = row.read_bytes or row.mapped_bytes or row.unseen
    return (
        not used and not name.startswith("/") and any(one.endswith(f"/{name}") for one in rows if one != name)
    )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _named(name: str, mappings: list[MappingRow]) -> list[MappingRow]:
    return [mapping for mapping in mappings if mapping.name == name]


def _from_start(name: str, row: FileRow | None, mine: list[MappingRow]) -> LoadFacts:
    """Return what is known of a model that was there when recording began: not how it came into memory."""
    read = row.read_bytes if row is not None else 0
    return LoadFacts(
        name=name,
        count=row.count if row is not None else 0,
        mode="mmap" if mine else "unknown",
        evidence="mapped when recording began" if mine else "open when recording began, not mapped",
        mapped_bytes=mapped_sizes(mine).get(name, 0),
        processes=len({mapping.pid for mapping in mine}),
        read_bytes=read,
        read_s=row.read_ns / 1e9 if row is not None else 0.0,
        map_s=None,
        populated=False,
        locked=any(mapping.locked for mapping in mine),
        resident_advice=tuple(sorted({advice for mapping in mine for advice in mapping.advice})),
        minor_faults=_sum(mapping.minor_faults for mapping in mine),
        major_faults=_sum(mapping.major_faults for mapping in mine),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    """Return the sum of what is known, None for nothing."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _facts(row: FileRow, mine: list[MappingRow], blind: BlindSpots) -> LoadFacts:
    name = _text(row.name)
    locked = any(mapping.locked for mapping in mine)
    mapped = mapped_sizes(mine).get(name, 0)
    mode, evidence = _mode(row, mapped, locked, blind)
    return LoadFacts(
        name=name,
        count=row.count,
        mode=mode,
        evidence=evidence,
        mapped_bytes=mapped,
        processes=len({mapping.pid for mapping in mine}),
        read_bytes=row.read_bytes,
        read_s=row.read_ns / 1e9,
        map_s=sum(mapping.made_in_ns or 0 for mapping in mine) / 1e9 if mine else None,
        populated=any(mapping.populated for mapping in mine),
        locked=locked,
        resident_advice=tuple(sorted({advice for mapping in mine for advice in mapping.advice})),
        minor_faults=_sum(mapping.minor_faults for mapping in mine),
        major_faults=_sum(mapping.major_faults for mapping in mine),
    )


def _mode(row: FileRow, mapped: int, locked: bool, blind: BlindSpots) -> tuple[str, str]:
    """Name the way by which most of the file came."""
    if mapped and mapped * _MOST >= row.read_bytes:
        return (
            ("mmap+mlock", "mapped, and locked by mlock or MAP_LOCKED")
            if locked
            else ("mmap", "mapped by mmap")
        )
    if row.unseen:
        return "unknown", "through io_uring, bytes not seen"
    if row.read_bytes and blind.maps:
        if row.direct_opens:
            return "direct", "opened with O_DIRECT and read"
        return "read", "read through the page cache"
    missing = [what for what, seen in (("read", blind.reads), ("mmap", blind.maps)) if not seen]
    if missing:
        return "unknown", f"opened; {' and '.join(missing)} weren't recorded (-e)"
    return "unknown", "opened, but neither mapped nor read while recorded"
