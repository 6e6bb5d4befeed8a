"""The ledger of mappings: who made each, when, with what protection and advice, and how long it lived.

Follows mmap, munmap, mremap, mprotect, madvise, mlock and brk in the order of the capture, and MAP records
for engines that see mappings as such. The calls are few beside all others, so a loop over plain tuples does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from heapq import merge
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.mechanisms.mapping.address_space import AddressSpace, Mapping
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.view import View, codes_of, name_of

_PAGE = 4096
_MAP_SHARED_MASK = 0xF
_MAP_PRIVATE = 2
_MAP_ANONYMOUS, _MAP_LOCKED = 0x20, 0x2000
_UNNAMED = (b"//anon", b"[anon]", b"[heap]", b"")
"""What perf and /proc call memory without a file."""

KEPT = 20000
"""Ended mappings kept one by one; beyond that only their number and bytes are."""


class _Call(NamedTuple):
    """One mapping call; ``target`` is the name behind its descriptor."""

    pid: int
    tid: int
    args: list[int]
    ret: int
    moment: int
    took: int
    target: int


_Action = tuple[int, Callable[[], None]]
"""Position of a record in its piece, and what it does."""


class MappingTable:
    """Follows all processes' mappings.

    Args:
        names: Numbers of names.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._follow: dict[str, Callable[[_Call], None]] = {
            "mmap": self._map, "munmap": self._unmap, "mremap": self._remap, "brk": self._brk,
            "mprotect": self._protect, "madvise": self._advise, "mlock": self._lock, "mlock2": self._lock,
        }  # fmt: skip
        self._wanted = codes_of(self._follow)
        self._called: set[int] = set()
        self._unnamed = [names.number(name) for name in _UNNAMED]
        self._live: dict[int, AddressSpace] = {}
        self._breaks: dict[int, int] = {}
        self.ended: list[Mapping] = []
        self.not_kept = 0

    def add(self, view: View, resolved: NDArray[np.int64]) -> None:
        """Follow the mapping calls of a piece, given what :meth:`FdTable.resolve` returned for it."""
        others = merge(self._tasks(view), self._recorded(view), key=itemgetter(0))
        following = next(others, None)
        for position, apply, call in self._calls(view, resolved):
            while following and following[0] < position:
                following[1]()
                following = next(others, None)
            self._called.add(call.pid)
            apply(call)
        while following:
            following[1]()
            following = next(others, None)

    def _calls(
        self, view: View, resolved: NDArray[np.int64]
    ) -> Iterator[tuple[int, Callable[[_Call], None], _Call]]:
        """Return the mapping calls that succeeded: the position of the record, what follows it, and its content."""
        rows = np.flatnonzero(self._wanted[view.code] & view.finished & ~view.failed)
        follow = {code: self._follow[name_of(code)] for code in np.unique(view.code[rows]).tolist()}
        calls = map(
            _Call, view.pid[rows].tolist(), view.field("tid", rows).tolist(), view.field("args", rows).tolist(),
            view.ret[rows].astype(np.uint64).tolist(), view.start[rows].tolist(), view.duration[rows].tolist(),
            resolved[rows].tolist(),
        )  # fmt: skip
        return zip(
            view.calls[rows].tolist(), map(follow.__getitem__, view.code[rows].tolist()), calls, strict=True
        )

    def _recorded(self, view: View) -> Iterator[_Action]:
        """Yield the mappings that the engine reported itself."""
        positions = np.flatnonzero(view.kind == Kind.MAP)
        records = view.records[positions]
        columns = zip(
            positions.tolist(), self._names.numbers(records["text"]).tolist(), records["pid"].tolist(),
            records["tid"].tolist(), records["args"].tolist(), records["nr"].tolist(),
            records["start"].tolist(), strict=True,
        )  # fmt: skip
        for position, *rest in columns:
            yield position, partial(self._report, *rest)

    def _tasks(self, view: View) -> Iterator[_Action]:
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
        space = self._live.get(pid)
        if space is None:
            space = self._live[pid] = AddressSpace()
        return space

    def _map(self, call: _Call) -> None:
        """Add what a call mapped; pages may be touched before it returns, so it lives from its start."""
        pid, args, start = call.pid, call.args, call.ret
        length = _whole_pages(args[1])
        anonymous = args[3] & _MAP_ANONYMOUS != 0
        space = self._space(pid)
        seen = space.at(start)
        if seen and seen.length == length and seen.begin_ns >= call.moment:
            space.remove(seen)  # The engine reported the same mapping while the call ran.
        if not space.is_free(start, start + length):
            self._cut(pid, start, start + length, call.moment)
        space.insert(Mapping(
            pid, call.tid, start, length, args[2] & 0xFF, args[3] & _MAP_SHARED_MASK != _MAP_PRIVATE,
            anonymous, args[3], NO_NAME if anonymous else call.target, 0 if anonymous else args[5], call.moment,
            None, args[3] & _MAP_LOCKED != 0, call.took,
        ))  # fmt: skip

    def _unmap(self, call: _Call) -> None:
        """End what a call unmapped; mostly that is a whole mapping."""
        start, length = call.args[0], _whole_pages(call.args[1])
        space = self._space(call.pid)
        whole = space.at(start)
        if whole is not None and whole.length == length:
            self._end(whole, call.moment)
        elif not space.is_free(start, start + length):
            self._cut(call.pid, start, start + length, call.moment)

    def _report(self, name: int, pid: int, tid: int, args: list[int], prot: int, moment: int) -> None:
        """Take a mapping that the engine reported, unless the call that makes it is recorded, too.

        The kernel reports anonymous memory and the heap as it has joined them, not as they were asked for.
        """
        unnamed = name == NO_NAME or name in self._unnamed
        if unnamed and pid in self._called:
            return
        start, length = args[0], _whole_pages(args[1])
        same = self._space(pid).at(start)
        if same and same.length == length:
            same.name = same.name if same.name != NO_NAME or unnamed else name
            return
        self._cut(pid, start, start + length, moment)
        number = NO_NAME if unnamed else name
        self._space(pid).insert(
            Mapping(pid, tid, start, length, prot, False, not args[3], 0, number, args[2], moment)
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

    def _remap(self, call: _Call) -> None:
        space, new = self._space(call.pid), call.ret
        mapping = space.at(call.args[0])
        if mapping is None:
            return
        length = _whole_pages(call.args[2])
        space.remove(mapping)
        self._cut(call.pid, new, new + length, call.moment)
        mapping.start, mapping.length = new, length
        space.insert(mapping)

    def _brk(self, call: _Call) -> None:
        """Grow or shrink the heap; the first brk only asks where it is."""
        top = call.ret
        base = self._breaks.setdefault(call.pid, top)
        heap = self._space(call.pid).at(base)
        if heap:
            heap.length = max(top - base, 0)
        elif top > base:
            flags, name = _MAP_ANONYMOUS | _MAP_PRIVATE, self._names.number(b"[heap]")
            heap = Mapping(call.pid, call.tid, base, top - base, 3, False, True, flags, name, 0, call.moment)
            self._space(call.pid).insert(heap)

    def _touched(self, call: _Call) -> list[Mapping]:
        first = call.args[0]
        return self._space(call.pid).overlapping(first, first + max(call.args[1], 1))

    def _protect(self, call: _Call) -> None:
        """Note what protection was given to a part of each mapping."""
        for mapping in self._touched(call):
            mapping.prot |= (call.args[2] & 0xFF) << 8

    def _advise(self, call: _Call) -> None:
        """Note the advice given."""
        advice = call.args[2] & 0xFFFFFFFF
        for mapping in self._touched(call):
            if advice not in mapping.advice:
                mapping.advice.append(advice)

    def _lock(self, call: _Call) -> None:
        for mapping in self._touched(call):
            mapping.locked = True


def _whole_pages(length: int) -> int:
    return (length + _PAGE - 1) & -_PAGE
