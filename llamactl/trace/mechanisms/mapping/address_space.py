"""The mappings of one process, found by address."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

LAST_ADDRESS = (1 << 64) - 1


@dataclass(slots=True)
class Mapping:
    """One mapping; ``end_ns`` is None while it lives.

    ``prot`` holds the protection it was made with, and from bit 8 on what mprotect gave to parts of it.
    """

    pid: int
    tid: int
    start: int
    length: int
    prot: int
    shared: bool
    anonymous: bool
    flags: int
    name: int
    offset: int
    begin_ns: int
    end_ns: int | None = None
    locked: bool = False
    made_in_ns: int | None = None
    advice: list[int] = field(default_factory=list)
    minor_faults: int = 0
    major_faults: int = 0
    made_length: int = 0
    """Its length when it was made, in bytes; parts may have been unmapped since."""

    def __post_init__(self) -> None:
        self.made_length = self.made_length or self.length

    @property
    def end(self) -> int:
        """The first address behind it, within 64 bits whatever a damaged capture says."""
        return min(self.start + self.length, LAST_ADDRESS)


class AddressSpace:
    """Mappings that don't overlap, ordered by address."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._by_start: dict[int, Mapping] = {}

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._by_start.values())

    def at(self, start: int) -> Mapping | None:
        """Return the mapping that begins exactly there."""
        return self._by_start.get(start)

    def is_free(self, start: int, end: int) -> bool:
        """Return whether nothing is mapped in [start, end)."""
        starts = self._starts
        index = bisect_left(starts, end)
        if index == 0:
            return True
        before = self._by_start[starts[index - 1]]
        return before.start + before.length <= start

    def insert(self, mapping: Mapping) -> None:
        """Add a mapping where nothing is mapped."""
        if mapping.start not in self._by_start:
            insort(self._starts, mapping.start)
        self._by_start[mapping.start] = mapping

    def remove(self, mapping: Mapping) -> None:
        """Take a mapping out, before its start is changed."""
        del self._by_start[mapping.start]
        del self._starts[bisect_left(self._starts, mapping.start)]

    def overlapping(self, start: int, end: int) -> list[Mapping]:
        """Return the mappings that have an address in [start, end)."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._by_start[self._starts[first]].end <= start:
            first += 1
        last = bisect_left(self._starts, end, lo=max(first, 0))
        return [self._by_start[begin] for begin in self._starts[first:last]]
