"""Which ranges of addresses hold an address: the one search that everything about mappings uses.

Addresses are whole numbers of 64 bits without a sign: ``[vsyscall]`` lies at 0xffffffffff600000.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate


class AddressRanges:
    """Ranges [start, end) that may overlap, as the mappings of one process over time do.

    Args:
        ranges: (start, end) of each; a range is named by its position here.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._ranges = list(ranges)
        self._order = sorted(range(len(self._ranges)), key=lambda index: self._ranges[index][0])
        self._starts = [self._ranges[index][0] for index in self._order]
        self._reach = list(accumulate((self._ranges[index][1] for index in self._order), max))
        """How far the ranges up to each one reach: none before the first that reaches beyond an address has it."""

    def around(self, address: int) -> list[int]:
        """Return the ranges that hold an address, by rising start; empty for none."""
        first = bisect_right(self._reach, address)
        last = bisect_right(self._starts, address)
        return [index for index in self._order[first:last] if address < self._ranges[index][1]]

    def find(self, address: int) -> int | None:
        """Return the range that holds an address, of several the one that starts last; None for none."""
        found = self.around(address)
        return found[-1] if found else None
