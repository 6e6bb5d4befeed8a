"""How the model came into memory: load mode in force, bytes and seconds each way, disk against page cache."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.trace.analysis.blind_spots import BlindSpots
from llamactl.trace.analysis.files import FileRow
from llamactl.trace.analysis.mapping_rows import MappingRow

_MODEL = b".gguf"
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


def load_facts(files: list[FileRow], mappings: list[MappingRow], blind: BlindSpots) -> list[LoadFacts]:
    """Return what was done with each model file that the program opened or mapped."""
    return [
        _facts(row, mappings, blind)
        for row in files
        if row.name.endswith(_MODEL) and (row.opens or row.mapped_bytes)
    ]


def _facts(row: FileRow, mappings: list[MappingRow], blind: BlindSpots) -> LoadFacts:
    name = row.name.decode("utf-8", "backslashreplace")
    mine = [mapping for mapping in mappings if mapping.name == name]
    locked = any(mapping.locked for mapping in mine)
    covered = [_covered(mine, pid) for pid in {mapping.pid for mapping in mine}]
    mapped = max(covered + [mapping.made_bytes for mapping in mine], default=0)
    mode, evidence = _mode(row, mapped, locked, blind)
    minor = [mapping.minor_faults for mapping in mine if mapping.minor_faults is not None]
    major = [mapping.major_faults for mapping in mine if mapping.major_faults is not None]
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
        minor_faults=sum(minor) if minor else None,
        major_faults=sum(major) if major else None,
    )


def _covered(mappings: list[MappingRow], pid: int) -> int:
    """Return how many bytes of the file a process has mapped in all its mappings; twice mapped counts once."""
    covered = end = 0
    for mapping in sorted(mappings, key=lambda mapping: mapping.offset):
        if mapping.pid == pid:
            last = mapping.offset + mapping.length_bytes
            covered += max(last - max(mapping.offset, end), 0)
            end = max(end, last)
    return covered


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
