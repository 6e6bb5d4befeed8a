"""Page faults by mapping and, inside a GGUF file, by layer and tensor."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.disk.generation_reads import PageIn, generating
from llamactl.trace.mechanisms.lineage import Fork
from llamactl.trace.mechanisms.mapping.address_space import Mapping
from llamactl.trace.mechanisms.mapping.mapping_index import Addresses, MappingIndex
from llamactl.trace.mechanisms.mapping.mapping_rows import role_of
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.view import View

Lineage = dict[int, Fork]
"""How processes began."""

MOST_GENERATIONS = 8
"""A fork of a fork … is followed so far."""

NOT_SEEN = "in no mapping that was seen being made"

TensorReader = Callable[[bytes], "list[tuple[int, int, str]]"]
"""Returns the tensors of a GGUF file as (offset, bytes, name), ordered by offset; empty when unreadable."""


@dataclass(frozen=True, slots=True)
class TensorRow:
    """Faults inside one tensor or layer of a model file."""

    name: str
    count: int
    minor_faults: int
    major_faults: int
    offset: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class FaultRow:
    """Faults by role of the mapping."""

    name: str
    count: int
    minor_faults: int
    major_faults: int


@dataclass(frozen=True)
class _Faults:
    """Faults as columns; ``waiting`` are those that were waited for while tokens were made."""

    pid: IntArray
    address: Addresses
    when: IntArray
    major: NDArray[np.bool_]
    waiting: NDArray[np.bool_]

    def only(self, rows: NDArray[Any]) -> _Faults:
        """Return some of them, or all in another order."""
        return _Faults(
            self.pid[rows], self.address[rows], self.when[rows], self.major[rows], self.waiting[rows]
        )

    def sorted(self) -> _Faults:
        """Return them by process and address."""
        return self.only(np.lexsort((self.address, self.pid)))


class FaultTable:
    """Gives each fault to the mapping that was there at that moment.

    Args:
        mappings: All mappings of the capture.
        names: Their names.
        tensors: Reads a GGUF file's tensors.
        phases: When tokens were made.
        forks: Which processes have the mappings of another one.
    """

    def __init__(
        self,
        mappings: Iterable[Mapping],
        names: Names,
        tensors: TensorReader,
        phases: Phases,
        forks: Lineage | None = None,
    ) -> None:
        self._forks = forks or {}
        self._index = MappingIndex(mappings)
        self._mappings = self._index.mappings
        self._names = names
        self._tensors = {
            mapping.name: tensors(names.name(mapping.name))
            for mapping in self._mappings
            if role_of(mapping, names.name(mapping.name)) == "weights"
        }
        self._hits = {name: np.zeros((2, len(found) + 1), np.int64) for name, found in self._tensors.items()}
        self.elsewhere = [0, 0]
        self._phases = phases
        self._waited: dict[tuple[str, int], int] = {}

    def add(self, view: View) -> None:
        """Place the faults of a piece."""
        faults = view.of_kind(Kind.FAULT)
        if not len(faults):
            return
        when, major = faults["start"].astype(np.int64), faults["nr"] == 1
        left = _Faults(
            faults["pid"].astype(np.int64), faults["args"][:, 0], when, major,
            major & generating(self._phases)[self._phases.of(when)],
        )  # fmt: skip
        for _ in range(MOST_GENERATIONS):
            left = left.sorted()
            left = left.only(~self._place(left))
            older = self._inherited(left)
            if older is None:
                break
            left = older
        for kind in (0, 1):
            self.elsewhere[kind] += int((left.major == bool(kind)).sum())
        self._wait(NOT_SEEN, NO_NAME, left.waiting)

    def _place(self, faults: _Faults) -> NDArray[np.bool_]:
        """Give faults to the mappings of their processes; return which had one."""
        placed = np.zeros(len(faults.pid), dtype=bool)
        if not len(placed):
            return placed
        when, major = faults.when, faults.major
        first, last = int(when.min()), int(when.max())
        for mapping, low, high in self._index.holding(faults.pid, faults.address, first, last):
            inside = when[low:high] >= mapping.begin_ns
            if mapping.end_ns is not None:
                inside &= when[low:high] <= mapping.end_ns
            inside &= ~placed[low:high]
            placed[low:high] |= inside
            majors = int((major[low:high] & inside).sum())
            mapping.major_faults += majors
            mapping.minor_faults += int(inside.sum()) - majors
            role = role_of(mapping, self._names.name(mapping.name))
            self._wait(role, mapping.name, faults.waiting[low:high] & inside)
            if mapping.name in self._hits:
                self._place_in_file(mapping, faults.address[low:high][inside], major[low:high][inside])
        return placed

    def _inherited(self, left: _Faults) -> _Faults | None:
        """Let faults be their parent's, at the moment of the fork; None where nothing changed."""
        pid, when = left.pid.copy(), left.when.copy()
        changed = False
        for process in np.unique(pid).tolist():
            fork = self._forks.get(process)
            if fork is not None:
                mine = (left.pid == process) & (left.when < fork.until_ns)
                pid[mine], when[mine] = fork.parent, np.minimum(when[mine], fork.began_ns)
                changed |= bool(mine.any())
        return replace(left, pid=pid, when=when) if changed else None

    def _wait(self, role: str, name: int, waiting: NDArray[np.bool_]) -> None:
        if waiting.any():
            self._waited[role, name] = self._waited.get((role, name), 0) + int(waiting.sum())

    def page_ins(self) -> list[PageIn]:
        """Return whose pages were waited for while tokens were made, the most first."""
        found = [
            PageIn(self._names.name(name).decode("utf-8", "backslashreplace"), role, count)
            for (role, name), count in self._waited.items()
        ]
        return sorted(found, key=lambda row: -row.major_faults)

    def place(self, pid: int, address: int, moment: int) -> str | None:
        """Return the tensor, or else the file, that lay at an address; None for neither."""
        mapping = self._index.at(pid, address, moment)
        while mapping is None:
            fork = self._forks.get(pid)
            if fork is None or moment >= fork.until_ns:
                return None
            pid, moment = fork.parent, min(moment, fork.began_ns)
            mapping = self._index.at(pid, address, moment)
        found = self._tensors.get(mapping.name) or []
        offset = address - mapping.start + mapping.offset
        index = bisect_right(found, offset, key=lambda row: row[0]) - 1
        if index >= 0 and offset < found[index][0] + found[index][1]:
            return found[index][2]
        name = self._names.name(mapping.name).rpartition(b"/")[2]
        return name.decode("utf-8", "backslashreplace") or None

    def roles(self) -> list[FaultRow]:
        """Return the faults by role of the mapping, then those outside all known mappings."""
        sums: dict[str, list[int]] = {}
        for mapping in self._mappings:
            total = sums.setdefault(role_of(mapping, self._names.name(mapping.name)), [0, 0])
            total[0] += mapping.minor_faults
            total[1] += mapping.major_faults
        if any(self.elsewhere):
            sums[NOT_SEEN] = self.elsewhere
        rows = [
            FaultRow(role, minor + major, minor, major)
            for role, (minor, major) in sums.items()
            if minor + major
        ]
        return sorted(rows, key=lambda row: -row.count)

    def tensors(self) -> list[TensorRow]:
        """Return the faults by tensor, in the order of the file."""
        rows = []
        for name, found in self._tensors.items():
            hits = self._hits[name]
            for index, (offset, length, tensor) in enumerate(found, 1):
                minor, major = int(hits[0, index]), int(hits[1, index])
                rows.append(TensorRow(tensor, minor + major, minor, major, offset, length))
        return rows

    def layers(self) -> list[TensorRow]:
        """Return the faults by layer (``blk.N``), in the order of the file."""
        sums: dict[str, list[int]] = {}
        for row in self.tensors():
            parts = row.name.split(".")
            layer = ".".join(parts[:2]) if parts[0] == "blk" else row.name
            total = sums.setdefault(layer, [0, 0, row.offset, 0])
            total[0] += row.minor_faults
            total[1] += row.major_faults
            total[3] += row.length_bytes
        return [TensorRow(name, t[0] + t[1], t[0], t[1], t[2], t[3]) for name, t in sums.items()]

    def _place_in_file(self, mapping: Mapping, address: Addresses, major: NDArray[np.bool_]) -> None:
        found, hits = self._tensors[mapping.name], self._hits[mapping.name]
        offsets = np.array([offset for offset, _, _ in found], dtype=np.uint64)
        where = address - np.uint64(mapping.start) + np.uint64(mapping.offset & (1 << 64) - 1)
        index = np.searchsorted(offsets, where, side="right")
        for kind in (0, 1):
            hits[kind] += np.bincount(index[major == bool(kind)], minlength=hits.shape[1])
