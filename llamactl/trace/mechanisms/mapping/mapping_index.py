"""Which mapping lay at an address of a process at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from llamactl.process.memory.address_ranges import AddressRanges
from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.mapping.address_space import Mapping

Addresses = NDArray[np.uint64]

_ADDRESS_MASK = (1 << 64) - 1
_FOREVER = np.iinfo(np.int64).max


class MappingIndex:
    """Finds mappings by process, address and moment.

    Args:
        mappings: All mappings of a capture, ended ones too.
    """

    def __init__(self, mappings: Iterable[Mapping]) -> None:
        self.mappings = sorted(mappings, key=lambda mapping: (mapping.pid, mapping.start))
        self._pid = np.array([mapping.pid for mapping in self.mappings], np.int64)
        self._start = np.array([mapping.start for mapping in self.mappings], np.uint64)
        self._end = np.array([mapping.end for mapping in self.mappings], np.uint64)
        self._since = np.array([mapping.begin_ns for mapping in self.mappings], np.int64)
        self._until = np.array([_until(mapping) for mapping in self.mappings], np.int64)
        self._ranges: dict[int, tuple[int, AddressRanges]] = {}

    def at(self, pid: int, address: int, moment: int | None = None) -> Mapping | None:
        """Return the mapping that lay there, of several the latest; None for none.

        Args:
            pid: The process.
            address: An address, also as a signed number.
            moment: When, ns; None for any time.
        """
        first, ranges = self._of(pid)
        found = [self.mappings[first + index] for index in ranges.around(address & _ADDRESS_MASK)]
        alive = [
            mapping for mapping in found if moment is None or mapping.begin_ns <= moment <= _until(mapping)
        ]
        return max(alive, key=lambda mapping: mapping.begin_ns, default=None)

    def holding(
        self, pid: IntArray, address: Addresses, first: int, last: int
    ) -> Iterator[tuple[Mapping, int, int]]:
        """Yield the mappings with some of the addresses in them: mapping, and the addresses' range of positions.

        Args:
            pid: The process of each address, rising.
            address: The addresses, rising within each process.
            first: Mappings that ended before this moment are left out,
            last: and those that began after this one.
        """
        alive = (self._since <= last) & (self._until >= first)
        for process in np.unique(pid):
            begin, end = np.searchsorted(pid, [process, process + 1])
            mine = np.flatnonzero(alive & (self._pid == process))
            low = begin + np.searchsorted(address[begin:end], self._start[mine])
            high = begin + np.searchsorted(address[begin:end], self._end[mine])
            hit = high > low
            for index, *places in zip(mine[hit].tolist(), low[hit].tolist(), high[hit].tolist(), strict=True):
                yield self.mappings[index], places[0], places[1]

    def _of(self, pid: int) -> tuple[int, AddressRanges]:
        """Return the ranges of a process, and the position of its first mapping."""
        if pid not in self._ranges:
            begin, end = np.searchsorted(self._pid, [pid, pid + 1]).tolist()
            mine = self.mappings[begin:end]
            self._ranges[pid] = begin, AddressRanges((mapping.start, mapping.end) for mapping in mine)
        return self._ranges[pid]


def _until(mapping: Mapping) -> int:
    return int(_FOREVER) if mapping.end_ns is None else mapping.end_ns
