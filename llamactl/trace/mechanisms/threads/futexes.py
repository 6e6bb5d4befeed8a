"""Futex time by what is waited for: the GIL, a barrier of compute threads, a malloc arena, other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.mapping.mapping_index import MappingIndex
from llamactl.trace.mechanisms.mapping.mapping_rows import role_of
from llamactl.trace.mechanisms.mapping.mappings import MappingTable
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.view import View, codes_of, distinct

WORDS = 65536
"""Distinct futex words followed one by one; later ones are counted together."""

_COMPUTING = ("prefill", "decode")
_PRIVATE_AND_CLOCK = 128 | 256
_ADDRESS_BITS = 48
"""User addresses are shorter on both architectures, but for 52-bit addresses that a program must ask for."""
_PROCESSES = 1 << 15
"""Processes whose words are followed: their number, in this order, shares 63 bits with the address."""

_WAITS = (0, 6, 9, 11, 13)
"""FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2."""

_IS_WAIT = np.isin(np.arange(max(_WAITS) + 2), _WAITS)
_TID_BITS = 22
"""Numbers of threads are below 2**22 (PID_MAX_LIMIT)."""


@dataclass(frozen=True, slots=True)
class FutexRow:
    """What was waited for; ``waited_ns`` sums the durations of the waits.

    ``unfinished`` waits were still going on at the end of the recording: they count up to there.
    """

    name: str
    count: int
    waits: int
    unfinished: int
    waited_ns: int
    words: int
    threads: int
    evidence: str


_COUNT, _WAITS_OF, _OPEN, _WAITED, _COMPUTED = _COLUMNS = range(5)
_OTHER = 0
"""The number of all words beyond those that are followed one by one."""


class FutexTable:
    """Adds up futex calls by process and word.

    Args:
        phases: The phases of the capture.
    """

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self._futex = codes_of({"futex"})
        self._wait = codes_of({"futex_wait"})
        self._computing = np.array([name in _COMPUTING for name in phases.names] + [False])
        self._processes: dict[int, int] = {0: 0}
        self._known = np.zeros(1, np.int64)
        self._number = np.full(1, _OTHER, np.int64)
        self._sums = np.zeros((len(_COLUMNS), 1))
        self._pairs = np.zeros(0, np.int64)

    def __bool__(self) -> bool:
        return bool(self._sums[_COUNT].any())

    def add(self, view: View) -> None:
        """Count the futex calls of a piece."""
        rows = np.flatnonzero(self._futex[view.code] | self._wait[view.code])
        if not len(rows):
            return
        command = view.argument(1, rows).astype(np.int64) & ~_PRIVATE_AND_CLOCK & 0xFFFFFFFF
        waits = _IS_WAIT[np.minimum(command, len(_IS_WAIT) - 1)] | self._wait[view.code[rows]]
        computing = self._computing[view.phase(self._phases)[rows]]
        word = self._numbers(self._keys(view, rows))
        size = self._sums.shape[1]
        self._sums[_COUNT] += np.bincount(word, minlength=size)
        self._sums[_WAITS_OF] += np.bincount(word[waits], minlength=size)
        self._sums[_OPEN] += np.bincount(word[waits & view.under_way[rows]], minlength=size)
        self._sums[_WAITED] += np.bincount(word[waits], view.duration[rows][waits], minlength=size)
        self._sums[_COMPUTED] += np.bincount(word[computing], minlength=size)
        self._add_threads(view, rows, word)

    def _keys(self, view: View, rows: IntArray) -> IntArray:
        """Return process and address in one number; 0 for what can't be a word of the program's.

        A program may pass any 64 bits, which the kernel then refuses.
        """
        address = view.argument(0, rows)
        pids, index = view.processes
        for pid in pids.tolist():
            self._processes.setdefault(pid, len(self._processes))
        process = np.array([self._processes[pid] for pid in pids.tolist()], np.int64)[index[rows]]
        followed = (address >> np.uint64(_ADDRESS_BITS) == 0) & (process < _PROCESSES)
        return np.where(followed, address.astype(np.int64) | (process << _ADDRESS_BITS), 0)

    def _numbers(self, keys: IntArray) -> IntArray:
        """Return each word's number, new ones for new words; words come again, so looking them up beats sorting."""
        place = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
        missing = self._known[place] != keys
        room = WORDS - len(self._known)
        if missing.any() and room > 0:
            fresh = np.unique(keys[missing])[:room]
            known = np.concatenate([self._known, fresh])
            order = np.argsort(known)
            number = np.concatenate([self._number, np.arange(len(self._known), len(known))])
            self._known, self._number = known[order], number[order]
            self._sums = np.concatenate([self._sums, np.zeros((len(_COLUMNS), len(fresh)))], axis=1)
            place = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
            missing = self._known[place] != keys
        return np.where(missing, _OTHER, self._number[place])

    def _add_threads(self, view: View, rows: IntArray, word: IntArray) -> None:
        """Note which threads use which word."""
        tids, thread = view.threads
        pairs = distinct(word * len(tids) + thread[rows])[0]
        pairs = (pairs // len(tids)) << _TID_BITS | tids[pairs % len(tids)]
        if not np.isin(pairs, self._pairs, assume_unique=True).all():
            self._pairs = np.union1d(self._pairs, pairs)

    def _words(self) -> dict[tuple[int, int], tuple[list[int], set[int]]]:
        """Return the sums and the threads of each word, by (pid, address); (0, 0) for those not followed."""
        threads: dict[int, set[int]] = {}
        for pair in self._pairs.tolist():
            threads.setdefault(pair >> _TID_BITS, set()).add(pair & ((1 << _TID_BITS) - 1))
        sums = self._sums.astype(np.int64).T.tolist()
        mask = (1 << _ADDRESS_BITS) - 1
        pids = list(self._processes)
        return {
            (pids[key >> _ADDRESS_BITS], key & mask): (sums[number], threads.get(number, set()))
            for key, number in zip(self._known.tolist(), self._number.tolist(), strict=True)
            if sums[number][_COUNT]
        }

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
        finder = MappingIndex(mappings.all())
        for key, (values, tids) in self._words().items():
            name, why = _owner(key, values, len(tids), finder, names, regions)
            total = groups.setdefault(name, [0] * len(_COLUMNS))
            for index, value in enumerate((*values[:_COMPUTED], 1)):
                total[index] += value
            evidence[name] = why
            threads.setdefault(name, set()).update(tids)
        rows = [
            FutexRow(name, count, waits, still, waited, words, len(threads[name]), evidence[name])
            for name, (count, waits, still, waited, words) in groups.items()
        ]
        return sorted(rows, key=lambda row: -row.waited_ns)


def _owner(
    key: tuple[int, int],
    values: list[int],
    threads: int,
    finder: MappingIndex,
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
    mapping = finder.at(pid, address)
    name = names.name(mapping.name) if mapping else b""
    base = name.rpartition(b"/")[2].decode("utf-8", "backslashreplace")
    if base.startswith(("libgomp", "libggml", "libomp", "libiomp")):
        return f"{base.partition('.')[0]} barrier", f"the word lies inside {base}"
    if threads > 1 and values[_COMPUTED] * 2 > values[_COUNT]:
        return "compute barrier", "words on the heap that several threads use while decoding"
    if mapping and role_of(mapping, name) == "malloc arena":
        return "malloc arena", "the word lies inside an arena of glibc"
    return "other", "nothing tells"
