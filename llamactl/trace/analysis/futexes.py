"""Futex time by what is waited for: the GIL, a barrier of compute threads, a malloc arena, other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.address_space import Mapping
from llamactl.trace.analysis.mapping_rows import role_of
from llamactl.trace.analysis.mappings import MappingTable
from llamactl.trace.analysis.names import Names
from llamactl.trace.analysis.phases import Phases
from llamactl.trace.analysis.view import View, codes_of

IntArray = NDArray[np.int64]

WORDS = 65536
"""Distinct futex words followed one by one; later ones are counted together."""

_COMPUTING = ("prefill", "decode")
_PRIVATE_AND_CLOCK = 128 | 256
_ADDRESS_BITS = 48
"""User addresses are shorter on both architectures, but for 52-bit addresses that a program must ask for."""

_WAITS = (0, 6, 9, 11, 13)
"""FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2."""


@dataclass(frozen=True, slots=True)
class FutexRow:
    """What was waited for; ``waited_ns`` sums the durations of the waits."""

    name: str
    count: int
    waits: int
    waited_ns: int
    words: int
    threads: int
    evidence: str


class FutexTable:
    """Adds up futex calls by process and word."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self._futex = codes_of({"futex"})
        self._wait = codes_of({"futex_wait"})
        self._computing = np.array([name in _COMPUTING for name in phases.names] + [False])
        self._words: dict[tuple[int, int], list[int]] = {}
        self._tids: dict[tuple[int, int], set[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._words)

    def add(self, view: View) -> None:
        """Count the futex calls of a piece."""
        rows = np.flatnonzero(self._futex[view.code] | self._wait[view.code])
        if not len(rows):
            return
        records = view.call_records[rows]
        command = records["args"][:, 1].astype(np.int64) & ~_PRIVATE_AND_CLOCK & 0xFFFFFFFF
        waits = np.isin(command, _WAITS) | self._wait[view.code[rows]]
        computing = self._computing[self._phases.of(view.start[rows])]
        words, inverse = np.unique(
            records["args"][:, 0].astype(np.int64) | (view.pid[rows] << _ADDRESS_BITS), return_inverse=True
        )
        size = len(words)
        sums = (
            np.bincount(inverse, minlength=size),
            np.bincount(inverse[waits], minlength=size),
            np.bincount(inverse[waits], view.duration[rows][waits], minlength=size),
            np.bincount(inverse[computing], minlength=size),
        )
        keys = [self._key(word) for word in words.tolist()]
        columns = zip(keys, *(column.astype(np.int64).tolist() for column in sums), strict=True)
        for key, *values in columns:
            total = self._words.setdefault(key, [0, 0, 0, 0])
            for index, value in enumerate(values):
                total[index] += value
        tids, thread = view.threads
        _, first = np.unique(inverse * len(tids) + thread[rows], return_index=True)
        for index in first.tolist():
            self._tids.setdefault(keys[inverse[index]], set()).add(int(tids[thread[rows[index]]]))

    def rows(
        self, mappings: MappingTable, names: Names, regions: dict[str, list[tuple[int, int]]]
    ) -> list[FutexRow]:
        """Return the waits by what they are for, the longest first.

        Args:
            mappings: Tells what lies around a word.
            names: Names of the mappings.
            regions: Address ranges by name, from the recorder; ``_PyRuntime`` tells the GIL.
        """
        groups: dict[str, list[int]] = {}
        evidence: dict[str, str] = {}
        threads: dict[str, set[int]] = {}
        finder = _Finder(mappings.all())
        for key, values in self._words.items():
            tids = self._tids.get(key, set())
            name, why = _owner(key, values, len(tids), finder, names, regions)
            total = groups.setdefault(name, [0, 0, 0, 0])
            for index, value in enumerate((*values[:3], 1)):
                total[index] += value
            evidence[name] = why
            threads.setdefault(name, set()).update(tids)
        rows = [
            FutexRow(name, count, waits, waited, words, len(threads[name]), evidence[name])
            for name, (count, waits, waited, words) in groups.items()
        ]
        return sorted(rows, key=lambda row: -row.waited_ns)

    def _key(self, word: int) -> tuple[int, int]:
        """Return (pid, address), or (0, 0) for words beyond those that are followed."""
        key = (word >> _ADDRESS_BITS, word & ((1 << _ADDRESS_BITS) - 1))
        return key if key in self._words or len(self._words) < WORDS else (0, 0)


class _Finder:
    """Finds the mapping around an address; mappings that came later win."""

    def __init__(self, mappings: list[Mapping]) -> None:
        self._by_pid: dict[int, tuple[list[Mapping], IntArray]] = {}
        grouped: dict[int, list[Mapping]] = {}
        for mapping in mappings:
            grouped.setdefault(mapping.pid, []).append(mapping)
        for pid, found in grouped.items():
            found.sort(key=lambda mapping: (mapping.start, mapping.begin_ns))
            self._by_pid[pid] = (found, np.array([mapping.start for mapping in found], dtype=np.uint64))

    def find(self, pid: int, address: int) -> Mapping | None:
        found, starts = self._by_pid.get(pid, ([], np.zeros(0, np.uint64)))
        index = int(np.searchsorted(starts, np.uint64(address), side="right")) - 1
        while index >= 0 and index < len(found):
            if found[index].end > address:
                return found[index]
            if found[index].start + (1 << 30) < address:
                return None
            index -= 1
        return None


def _owner(
    key: tuple[int, int],
    values: list[int],
    threads: int,
    finder: _Finder,
    names: Names,
    regions: dict[str, list[tuple[int, int]]],
) -> tuple[str, str]:
    """Say what a word belongs to, and why."""
    pid, address = key
    if key == (0, 0):
        return "other", "more words than are followed one by one"
    for region, ranges in regions.items():
        if any(start <= address < end for start, end in ranges):
            return ("GIL" if region == "_PyRuntime" else region), f"the word lies inside {region}"
    mapping = finder.find(pid, address)
    name = names.name(mapping.name) if mapping else b""
    base = name.rpartition(b"/")[2].decode("utf-8", "backslashreplace")
    if base.startswith(("libgomp", "libggml", "libomp", "libiomp")):
        return f"{base.partition('.')[0]} barrier", f"the word lies inside {base}"
    if threads > 1 and values[3] * 2 > values[0]:
        return "compute barrier", "words on the heap that several threads use while decoding"
    if mapping and role_of(mapping, name) == "malloc arena":
        return "malloc arena", "the word lies inside an arena of glibc"
    return "other", "nothing tells"
