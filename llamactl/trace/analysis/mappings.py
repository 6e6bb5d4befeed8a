"""The ledger of mappings: who made each, when, with what protection and advice, and how long it lived.

Follows mmap, munmap, mremap, mprotect, madvise, mlock and brk in the order of the capture, and MAP records
for engines that see mappings as such. The calls are few beside all others, so a loop over plain tuples does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.address_space import AddressSpace, Mapping
from llamactl.trace.analysis.names import NO_NAME, Names
from llamactl.trace.analysis.view import View, codes_of, name_of
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.syscalls.constants import ADVICE

_PAGE = 4096
_MAP_SHARED_MASK = 0xF
_MAP_PRIVATE = 2
_MAP_ANONYMOUS, _MAP_LOCKED, _MAP_STACK, _MAP_GROWSDOWN = 0x20, 0x2000, 0x20000, 0x100
_ARENA = 64 << 20
"""glibc reserves arenas of 64 MiB (malloc/arena.c, HEAP_MAX_SIZE on 64-bit), aligned to their size."""

KEPT = 20000
"""Ended mappings kept one by one; beyond that only their number and bytes are."""

_CALLS = frozenset({"mmap", "munmap", "mremap", "mprotect", "madvise", "mlock", "mlock2", "brk"})


@dataclass(frozen=True, slots=True)
class MappingRow:
    """One mapping for the views; times are seconds since the capture began."""

    name: str
    count: int
    role: str
    pid: int
    tid: int
    start: int
    length_bytes: int
    protection: str
    shared: bool
    offset: int
    begin_s: float
    life_s: float | None
    advice: tuple[str, ...]
    locked: bool
    minor_faults: int | None
    major_faults: int | None


class MappingTable:
    """Follows all processes' mappings.

    Args:
        names: Numbers of names.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._wanted = codes_of(_CALLS)
        self._live: dict[int, AddressSpace] = {}
        self._breaks: dict[int, int] = {}
        self.ended: list[Mapping] = []
        self.not_kept = 0

    def add(self, view: View, resolved: NDArray[np.int64]) -> None:
        """Follow the mapping calls of a piece, given what :meth:`FdTable.resolve` returned for it."""
        if (view.kind == Kind.MAP).any():
            self._add_recorded(view.of_kind(Kind.MAP))
        rows = np.flatnonzero(self._wanted[view.code] & view.finished & ~view.failed)
        records = view.call_records[rows]
        when = (view.start + view.duration)[rows].tolist()
        names = [name_of(code) for code in view.code[rows].tolist()]
        columns = zip(
            view.calls[rows].tolist(), names, records["pid"].tolist(), records["tid"].tolist(),
            records["args"].tolist(), records["ret"].tolist(), when, resolved[rows].tolist(), strict=True,
        )  # fmt: skip
        tasks = self._tasks(view)
        following = next(tasks, None)
        for position, name, pid, tid, args, ret, moment, target in columns:
            while following and following[0] < position:
                following[1]()
                following = next(tasks, None)
            self._apply(name, pid, tid, args, ret, moment, target)
        while following:
            following[1]()
            following = next(tasks, None)

    def _tasks(self, view: View) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield what forks, execs and ends do to mappings, with the position of their records."""
        positions = np.flatnonzero(view.kind == Kind.TASK)
        for position, record in zip(positions.tolist(), view.records[positions], strict=True):
            kind, pid, moment = int(record["nr"]), int(record["pid"]), int(record["start"])
            child = int(record["args"][1])
            if kind in {Task.CLONE, Task.FORK} and child not in {0, pid}:
                yield position, partial(self._forked, pid, child)
            elif kind == Task.EXEC or (kind == Task.EXIT and int(record["tid"]) == pid):
                yield position, partial(self._gone, pid, moment)

    def live(self) -> Iterator[Mapping]:
        """Yield the mappings that live at the end."""
        for space in self._live.values():
            yield from space

    def all(self) -> list[Mapping]:
        """Return all mappings that were kept, ended ones first."""
        return [*self.ended, *self.live()]

    def _forked(self, parent: int, child: int) -> None:
        """Give a forked process its own break; its inherited mappings are the parent's rows."""
        if parent in self._breaks:
            self._breaks[child] = self._breaks[parent]

    def _gone(self, pid: int, moment: int) -> None:
        """End all mappings of a process that replaced its program or ended."""
        for mapping in list(self._space(pid)):
            self._end(mapping, moment)
        self._breaks.pop(pid, None)

    def _space(self, pid: int) -> AddressSpace:
        return self._live.setdefault(pid, AddressSpace())

    def _apply(
        self, call: str, pid: int, tid: int, args: list[int], ret: int, moment: int, target: int
    ) -> None:
        """Apply one successful call."""
        if call == "mmap":
            self._map(pid, tid, args, ret & 0xFFFFFFFFFFFFFFFF, moment, target)
        elif call == "munmap":
            self._cut(pid, args[0], args[0] + args[1], moment)
        elif call == "mremap":
            self._remap(pid, args, ret & 0xFFFFFFFFFFFFFFFF, moment)
        elif call == "brk":
            self._brk(pid, tid, ret & 0xFFFFFFFFFFFFFFFF, moment)
        else:
            self._mark(call, pid, args)

    def _map(self, pid: int, tid: int, args: list[int], start: int, moment: int, target: int) -> None:
        length = _whole_pages(args[1])
        anonymous = bool(args[3] & _MAP_ANONYMOUS)
        self._cut(pid, start, start + length, moment)
        self._space(pid).insert(Mapping(
            pid, tid, start, length, args[2] & 0xFF, args[3] & _MAP_SHARED_MASK != _MAP_PRIVATE, anonymous,
            args[3], NO_NAME if anonymous else target, 0 if anonymous else args[5], moment,
            locked=bool(args[3] & _MAP_LOCKED),
        ))  # fmt: skip

    def _add_recorded(self, records: NDArray[np.void]) -> None:
        """Take mappings that the engine reported; a call that made the same one was there first."""
        names = self._names.numbers(records["text"]).tolist()
        columns = zip(
            records["pid"].tolist(), records["tid"].tolist(), records["args"].tolist(),
            records["nr"].tolist(), records["start"].tolist(), names, strict=True,
        )  # fmt: skip
        for pid, tid, args, prot, moment, name in columns:
            start, length = args[0], _whole_pages(args[1])
            same = self._space(pid).at(start)
            if same and same.length == length:
                same.name = same.name if same.name != NO_NAME else name
                continue
            self._cut(pid, start, start + length, moment)
            self._space(pid).insert(
                Mapping(pid, tid, start, length, prot, False, not args[3], 0, name, args[2], moment)
            )

    def _cut(self, pid: int, start: int, end: int, moment: int) -> None:
        """Take [start, end) out of what is mapped; a mapping that only loses a part is shortened or split."""
        space = self._space(pid)
        for mapping in space.overlapping(start, end):
            if start <= mapping.start and mapping.end <= end:
                self._end(mapping, moment)
            elif mapping.start < start:
                tail = mapping.end - end
                if tail > 0:
                    self._split(mapping, end, tail)
                mapping.length = start - mapping.start
            else:
                space.remove(mapping)
                mapping.offset += end - mapping.start
                mapping.length, mapping.start = mapping.end - end, end
                space.insert(mapping)

    def _split(self, mapping: Mapping, start: int, length: int) -> None:
        self._space(mapping.pid).insert(Mapping(
            mapping.pid, mapping.tid, start, length, mapping.prot, mapping.shared, mapping.anonymous,
            mapping.flags, mapping.name, mapping.offset + start - mapping.start, mapping.begin_ns,
            locked=mapping.locked, advice=list(mapping.advice),
        ))  # fmt: skip

    def _end(self, mapping: Mapping, moment: int) -> None:
        self._space(mapping.pid).remove(mapping)
        mapping.end_ns = moment
        if len(self.ended) < KEPT:
            self.ended.append(mapping)
        else:
            self.not_kept += 1

    def _remap(self, pid: int, args: list[int], new: int, moment: int) -> None:
        space = self._space(pid)
        mapping = space.at(args[0])
        if mapping is None:
            return
        length = _whole_pages(args[2])
        space.remove(mapping)
        self._cut(pid, new, new + length, moment)
        mapping.start, mapping.length = new, length
        space.insert(mapping)

    def _brk(self, pid: int, tid: int, top: int, moment: int) -> None:
        """Grow or shrink the heap; the first brk only asks where it is."""
        base = self._breaks.setdefault(pid, top)
        heap = self._space(pid).at(base)
        if heap:
            heap.length = max(top - base, 0)
        elif top > base:
            flags = _MAP_ANONYMOUS | _MAP_PRIVATE
            name = self._names.number(b"[heap]")
            heap = Mapping(pid, tid, base, top - base, 3, False, True, flags, name, 0, moment)
            self._space(pid).insert(heap)

    def _mark(self, call: str, pid: int, args: list[int]) -> None:
        """Note protection, advice and locks on the mappings that the call touches."""
        for mapping in self._space(pid).overlapping(args[0], args[0] + max(args[1], 1)):
            if call == "mprotect":
                mapping.prot |= (args[2] & 0xFF) << 8
            elif call == "madvise":
                advice = args[2] & 0xFFFFFFFF
                if advice not in mapping.advice:
                    mapping.advice.append(advice)
            else:
                mapping.locked = True


def role_of(mapping: Mapping, name: bytes) -> str:
    """Say what a mapping is for, from its name, flags and size."""
    if name == b"[heap]":
        return "heap"
    if name.endswith(b".gguf"):
        return "weights"
    if b".so" in name.rpartition(b"/")[2] or name.startswith(b"/usr/bin/"):
        return "library"
    if name.startswith(b"/dev/nvidia") or name.startswith(b"/dev/dri") or name == b"/dev/kfd":
        return "gpu"
    if name:
        return "file"
    if mapping.flags & (_MAP_STACK | _MAP_GROWSDOWN):
        return "stack"
    if mapping.anonymous and _in_arena(mapping):
        return "malloc arena"
    return "anonymous" if mapping.anonymous else "unknown"


def mapping_rows(table: MappingTable, names: Names, begin_ns: int, saw_faults: bool) -> list[MappingRow]:
    """Return the rows of the ledger, the largest first."""
    rows = [_row(mapping, names, begin_ns, saw_faults) for mapping in table.all()]
    return sorted(rows, key=lambda row: -row.length_bytes)


def _row(mapping: Mapping, names: Names, begin_ns: int, saw_faults: bool) -> MappingRow:
    name = names.name(mapping.name)
    life = None if mapping.end_ns is None else (mapping.end_ns - mapping.begin_ns) / 1e9
    return MappingRow(
        name=name.decode("utf-8", "backslashreplace") or "[anonymous]",
        count=1,
        role=role_of(mapping, name),
        pid=mapping.pid,
        tid=mapping.tid,
        start=mapping.start,
        length_bytes=mapping.length,
        protection=_protection(mapping.prot),
        shared=mapping.shared,
        offset=mapping.offset,
        begin_s=(mapping.begin_ns - begin_ns) / 1e9,
        life_s=life,
        advice=tuple(ADVICE.get(number, str(number)) for number in mapping.advice),
        locked=mapping.locked,
        minor_faults=mapping.minor_faults if saw_faults else None,
        major_faults=mapping.major_faults if saw_faults else None,
    )


def _protection(prot: int) -> str:
    """Show the protection it was made with, and after ``>`` what mprotect gave parts of it."""
    later = prot >> 8
    first = _letters(prot & 0xFF)
    return f"{first}>{_letters(later)}" if later and later != prot & 0xFF else first


def _letters(prot: int) -> str:
    return "".join(letter if prot & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))


def _in_arena(mapping: Mapping) -> bool:
    """Tell an arena by what glibc does: a reservation without rights, aligned to 64 MiB."""
    return mapping.prot & 0xFF == 0 and mapping.length >= _ARENA and mapping.start % _ARENA == 0


def _whole_pages(length: int) -> int:
    return -(-length // _PAGE) * _PAGE
