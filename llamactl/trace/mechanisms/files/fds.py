"""What each file descriptor stood for at the time of each call: descriptor tables over time, on arrays.

Events that change a descriptor (open, dup, close, …) and calls that use one are sorted by process,
descriptor and time; each use then takes the last change before it. A process that was forked starts with a
copy of its parent's descriptors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.decode.sockets import address_text
from llamactl.trace.decode.table import ARCH_NAMES, calls
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.syscalls.transfers import PASSING
from llamactl.trace.mechanisms.view import ARCHITECTURES, CODES, View, codes_of, distinct, name_of

_FD_BITS = 22
_FD_MASK = (1 << _FD_BITS) - 1
_CLOSED = -1
_PENDING = -2
"""Not known until the descriptor that was duplicated is."""

_DUPLICATES = {"dup", "dup2", "dup3"}
_FORKS = (int(Task.CLONE), int(Task.FORK), int(Task.VFORK))
_F_DUPFD = (0, 1030)
_MAP_ANONYMOUS = 0x20
_ROUNDS = 16
"""A duplicate of a duplicate … is followed this far within one piece."""

_EINPROGRESS = -115
_PAIR = struct.Struct("<ii")
_PAIRS = {"pipe": b"pipe:", "pipe2": b"pipe:", "socketpair": b"socket:"}


def _positions() -> IntArray:
    """Return by code which argument is the descriptor the call works on, -1 for none."""
    table = np.full(ARCHITECTURES * CODES, -1, dtype=np.int64)
    for arch in range(len(ARCH_NAMES)):
        for number, call in calls(arch).items():
            kinds = [kind for _, kind in call.arguments]
            kind = "fd" if "fd" in kinds else "at"
            if kind in kinds:
                table[arch * CODES + number] = kinds.index(kind)
    return table


def _second_positions() -> IntArray:
    """Return by code which argument is the second descriptor of a call that moves bytes, -1 for none."""
    table = np.full(ARCHITECTURES * CODES, -1, dtype=np.int64)
    for arch in range(len(ARCH_NAMES)):
        for number, call in calls(arch).items():
            kinds = [kind for _, kind in call.arguments]
            if call.name in PASSING:
                table[arch * CODES + number] = kinds.index("fd", kinds.index("fd") + 1)
    return table


def _path_calls() -> set[str]:
    """Return the calls whose first text is the path they work on."""
    found = set()
    for arch in range(len(ARCH_NAMES)):
        for call in calls(arch).values():
            kinds = [kind for _, kind in call.arguments]
            if "path" in kinds and "fd" not in kinds:
                found.add(call.name)
    return found


def _makers() -> dict[str, set[str]]:
    """Return the calls that return a descriptor: those named by their path, and all others."""
    named: set[str] = set()
    unnamed: set[str] = set()
    for arch in range(len(ARCH_NAMES)):
        for call in calls(arch).values():
            if call.result == "newfd" and call.name not in _DUPLICATES:
                has_path = any(kind == "path" for _, kind in call.arguments)
                (named if has_path else unnamed).add(call.name)
    return {"named": named, "unnamed": unnamed}


@dataclass
class _Events:
    """Changes and uses of descriptors in one piece, as columns."""

    key: list[IntArray] = field(default_factory=list)
    time: list[IntArray] = field(default_factory=list)
    name: list[IntArray] = field(default_factory=list)
    source: list[IntArray] = field(default_factory=list)
    change: list[NDArray[np.bool_]] = field(default_factory=list)
    count: int = 0

    def add(
        self, key: IntArray, time: IntArray, name: IntArray, change: bool, source: IntArray | None = None
    ) -> None:
        self.key.append(key)
        self.time.append(time)
        self.name.append(name)
        self.source.append(np.full(len(key), -1, np.int64) if source is None else source)
        self.change.append(np.full(len(key), change))
        self.count += len(key)


def _key(pid: IntArray | np.int64, fd: NDArray[np.integer]) -> IntArray:
    return (pid << _FD_BITS) | (fd.astype(np.int64) & _FD_MASK)


class FdTable:
    """Follows the descriptors of all processes through a capture.

    Args:
        names: Where the names of files and sockets get their numbers.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._position = _positions()
        self._second = _second_positions()
        self.other = np.zeros(0, np.int64)
        """Of the piece resolved last: the name of each call's second descriptor, or NO_NAME."""
        makers = _makers()
        self._named = codes_of(makers["named"])
        self._unnamed = codes_of(makers["unnamed"])
        self._duplicate = codes_of(_DUPLICATES)
        self._fcntl = codes_of({"fcntl"})
        self._close = codes_of({"close"})
        self._connect = codes_of({"connect", "bind"})
        self._mmap = codes_of({"mmap"})
        self._pair = codes_of(_PAIRS)
        self._by_path = codes_of(_path_calls())
        self._empty = names.number(b"")
        self._change = (
            self._named
            | self._unnamed
            | self._duplicate
            | self._fcntl
            | self._close
            | self._connect
            | self._pair
        )
        self._recorder: int | None = None
        self._born: set[int] = set()
        self._keys: IntArray = np.zeros(0, np.int64)
        self._values: IntArray = np.zeros(0, np.int64)

    def resolve(self, view: View) -> IntArray:
        """Return for each SYSCALL record of the piece the name of the descriptor it uses, or NO_NAME.

        For a call that opens a file the result is that file's name. Pieces must come in order.
        """
        events = _Events()
        events.add(self._keys, np.zeros(len(self._keys), np.int64), self._values, change=True)
        uses = self._uses(view)
        use_key = _key(view.pid[uses], self._argument(view, uses))
        events.add(use_key, view.start[uses], np.full(len(uses), NO_NAME, np.int64), change=False)
        second = np.flatnonzero(self._second[view.code] >= 0)
        second_fd = view.argument(self._second[view.code[second]], second).astype(np.int64)
        events.add(
            _key(view.pid[second], second_fd),
            view.start[second],
            np.full(len(second), NO_NAME, np.int64),
            False,
        )
        opened, opened_name = self._changes(view, events)
        self._recorded(view, events)
        self._forks(view, events)
        found = self._follow(events)
        self._drop_ended(view)
        result = np.full(len(view.calls), NO_NAME, np.int64)
        begin = len(events.key[0])
        result[uses] = found[begin : begin + len(uses)]
        self.other = np.full(len(view.calls), NO_NAME, np.int64)
        self.other[second] = found[begin + len(uses) : begin + len(uses) + len(second)]
        result[opened] = opened_name
        self._name_paths(view, result)
        return result

    def _uses(self, view: View) -> IntArray:
        uses = self._position[view.code] >= 0
        maps = np.flatnonzero(self._mmap[view.code])
        uses[maps[(view.argument(3, maps) & _MAP_ANONYMOUS) != 0]] = False
        return np.flatnonzero(uses)

    def _name_paths(self, view: View, result: IntArray) -> None:
        """Give calls that name a path, such as stat, that path; an empty one means the descriptor."""
        rows = np.flatnonzero(self._by_path[view.code])
        name = self._names.numbers(view.field("text", rows))
        told = (name != NO_NAME) & (name != self._empty)
        result[rows[told]] = name[told]

    def _argument(self, view: View, rows: IntArray) -> IntArray:
        position = self._position[view.code[rows]]
        return view.argument(position, rows).astype(np.int64)

    def _changes(self, view: View, events: _Events) -> tuple[IntArray, IntArray]:
        """Collect what the calls change; return the rows of opens and their names."""
        rows = np.flatnonzero(self._change[view.code] & view.finished)
        rows = rows[(view.ret[rows] >= 0) | (view.ret[rows] == _EINPROGRESS)]
        code, ret, pid = view.code[rows], view.ret[rows], view.pid[rows]
        begin = view.start[rows]
        end = begin + view.duration[rows]
        first = view.argument(0, rows).astype(np.int64)
        text = view.field("text", rows)

        self._pairs(view, rows[self._pair[code]], events)
        named = self._named[code]
        opened_name = self._names.numbers(text[named])
        events.add(_key(pid[named], ret[named]), end[named], opened_name, change=True)
        other = self._unnamed[code]
        kinds = self._kinds(code[other])
        events.add(_key(pid[other], ret[other]), end[other], kinds, change=True)
        closed = self._close[code]
        events.add(
            _key(pid[closed], first[closed]), begin[closed] + 1, np.full(closed.sum(), _CLOSED), change=True
        )
        address = self._connect[code] & (text != 0)
        events.add(
            _key(pid[address], first[address]), end[address], self._addresses(text[address]), change=True
        )
        command = view.argument(1, rows).astype(np.int64) & 0xFFFFFFFF
        copied = self._duplicate[code] | (self._fcntl[code] & np.isin(command, _F_DUPFD))
        source = events.count + np.arange(int(copied.sum()))
        events.add(
            _key(pid[copied], first[copied]), begin[copied], np.full(len(source), NO_NAME), change=False
        )
        events.add(_key(pid[copied], ret[copied]), end[copied], np.full(len(source), _PENDING), True, source)
        return rows[named], opened_name

    def _pairs(self, view: View, rows: IntArray, events: _Events) -> None:
        """Take both ends of pipes and socket pairs, whose numbers are in the record's text."""
        for row, reference in zip(rows.tolist(), view.field("text", rows).tolist(), strict=True):
            data = self._names.text(reference)
            if len(data) >= _PAIR.size:
                fds = np.array(_PAIR.unpack_from(data), np.int64)
                name = self._names.number(_PAIRS[name_of(int(view.code[row]))])
                end = np.full(2, view.start[row] + view.duration[row])
                events.add(_key(view.pid[row], fds), end, np.full(2, name), change=True)

    def _kinds(self, code: IntArray) -> IntArray:
        """Name descriptors that have no path after the call that made them."""
        values, inverse = distinct(code)
        numbers = np.array(
            [self._names.number(_kind_name(name_of(value))) for value in values.tolist()], np.int64
        )
        return numbers[inverse] if len(numbers) else np.zeros(0, np.int64)

    def _addresses(self, references: NDArray[np.unsignedinteger]) -> IntArray:
        raw = self._names.numbers(references)
        return np.array(
            [self._names.number(address_text(self._names.name(int(number)))) for number in raw], np.int64
        )

    def _recorded(self, view: View, events: _Events) -> None:
        """Take the descriptors that the recorder itself looked up."""
        records = view.of_kind(Kind.FD)
        if len(records):
            self._recorder = int(records["pid"][0]) if self._recorder is None else self._recorder
            key = _key(records["pid"].astype(np.int64), records["nr"])
            events.add(
                key, records["start"].astype(np.int64), self._names.numbers(records["text"]), change=True
            )

    def _follow(self, events: _Events) -> IntArray:
        """Give each event the name that its descriptor had just before it; keep the state after the piece."""
        key, time = np.concatenate(events.key), np.concatenate(events.time)
        name, source = np.concatenate(events.name), np.concatenate(events.source)
        change = np.concatenate(events.change)
        order = np.lexsort((change, time, key))
        sorted_key = key[order]
        row = np.where(change[order], np.arange(len(order)), -1)
        last = np.maximum.accumulate(row) if len(row) else row
        before = np.maximum(last, 0)
        valid = (last >= 0) & (sorted_key[before] == sorted_key)
        previous = np.full(len(order), -1, np.int64)
        previous[order] = np.where(valid, order[before], -1)
        for _ in range(_ROUNDS):
            pending = np.flatnonzero(name == _PENDING)
            if not len(pending):
                break
            origin = previous[source[pending]]
            name[pending] = np.where(origin >= 0, name[origin], NO_NAME)
        name[name == _PENDING] = NO_NAME
        found = np.where(previous >= 0, name[previous], NO_NAME)
        self._keep(sorted_key, order, change, name)
        return found

    def _keep(self, sorted_key: IntArray, order: IntArray, change: NDArray[np.bool_], name: IntArray) -> None:
        """Keep the last change of each descriptor that is still open."""
        rows = np.flatnonzero(change[order])
        keys = sorted_key[rows]
        if not len(keys):
            return
        final = np.append(keys[1:] != keys[:-1], True)
        values = name[order[rows[final]]]
        still_open = values != _CLOSED
        self._keys, self._values = keys[final][still_open], values[still_open]

    def _forks(self, view: View, events: _Events) -> None:
        """Let every process forked in this piece duplicate the descriptors that its parent had then."""
        for parent, forked, start in self._births(view):
            keys = np.concatenate(events.key)[np.concatenate(events.change)]
            keys = np.unique(keys[keys >> _FD_BITS == parent])
            moment = np.full(len(keys), start, np.int64)
            source = events.count + np.arange(len(keys))
            events.add(keys, moment, np.full(len(keys), NO_NAME), change=False)
            inherited = (keys & _FD_MASK) | (forked << _FD_BITS)
            events.add(inherited, moment, np.full(len(keys), _PENDING), True, source)

    def _births(self, view: View) -> Iterator[tuple[int, int, int]]:
        """Yield (parent, child, moment) of each process that began.

        The program itself begins with an exec that no fork was seen before: it has what the recorder
        passed to it, whose descriptors are recorded under the recorder's own number.
        """
        for record in view.of_kind(Kind.TASK):
            kind, pid, start = int(record["nr"]), int(record["pid"]), int(record["start"])
            child = int(record["args"][1])
            if kind in _FORKS and child not in {0, pid}:
                self._born.add(child)
                yield pid, child, start
            elif kind == Task.EXEC and pid not in self._born:
                self._born.add(pid)
                if self._recorder not in {None, pid}:
                    yield int(self._recorder or 0), pid, start

    def _drop_ended(self, view: View) -> None:
        """Forget the descriptors of processes that ended in this piece."""
        tasks = view.of_kind(Kind.TASK)
        ended = tasks["pid"][(tasks["nr"] == Task.EXIT) & (tasks["tid"] == tasks["pid"])]
        if len(ended):
            alive = ~np.isin(self._keys >> _FD_BITS, ended)
            self._keys, self._values = self._keys[alive], self._values[alive]


def _kind_name(call: str) -> bytes:
    """Return what /proc would call a descriptor that a call without a path made."""
    known = {
        "socket": "socket:", "accept": "socket:", "accept4": "socket:", "eventfd": "anon_inode:[eventfd]",
        "eventfd2": "anon_inode:[eventfd]", "epoll_create": "anon_inode:[eventpoll]",
        "epoll_create1": "anon_inode:[eventpoll]", "io_uring_setup": "anon_inode:[io_uring]",
        "timerfd_create": "anon_inode:[timerfd]", "inotify_init1": "anon_inode:inotify",
        "perf_event_open": "anon_inode:[perf_event]", "pidfd_open": "anon_inode:[pidfd]",
    }  # fmt: skip
    return known.get(call, f"anon_inode:[{call}]").encode()
