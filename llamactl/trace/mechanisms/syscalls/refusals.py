"""Calls that were refused something that the program needed, and the limit that did it.

Programs fail at calls all the time, and mean to: a path is tried before the next one, a read would block. What is
kept here is a refusal that takes something away: code that may not be mapped, a thread or process that isn't born, a
program that isn't started, no descriptor, no memory, no space, a port that is taken.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llamactl.errors import NO_ROOM
from llamactl.process.engine.libraries import is_library
from llamactl.process.files.mounts import Mount, mount_of
from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.decode.sockets import address_text
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.view import ARCHITECTURES, CODES, View, codes_of, name_of

_PROT_EXEC = 4
_MOST = 500
"""Different refusals; more of them are only counted in their calls' rows."""
_MAPS = ("mmap", "mprotect")
_BIRTHS = ("clone", "clone3", "fork", "vfork")
_STARTS = ("execve", "execveat")
_OPENS = ("open", "openat", "openat2", "creat")
_DESCRIPTORS = (
    *_OPENS, "socket", "accept", "accept4", "dup", "dup2", "dup3", "pipe", "pipe2", "epoll_create1", "eventfd2",
    "memfd_create", "socketpair", "inotify_init1", "timerfd_create", "signalfd4",
)  # fmt: skip
_WRITES = ("write", "pwrite64", "writev", "pwritev", "fallocate", "ftruncate", "copy_file_range", "sendfile")
_NO_RIGHT = (errno.EPERM, errno.EACCES)
_FULL = tuple(NO_ROOM)
_DENIED = np.array([
    errno.EPERM, errno.EACCES, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS,
    errno.ENOSYS, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED, errno.EADDRINUSE,
], np.int64)  # fmt: skip
"""Errors that mean no, whatever is asked next; a wait with a time limit may mean to end by ETIMEDOUT."""
_TIMED = frozenset({"futex", "futex_waitv", "clock_nanosleep", "rt_sigtimedwait", "semtimedop"})
_RULES: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = (
    (_MAPS, (*_NO_RIGHT, errno.ENOMEM)),
    (_BIRTHS, (*_NO_RIGHT, errno.EAGAIN, errno.ENOMEM)),
    (_STARTS, (*_NO_RIGHT, errno.ENOMEM)),
    (_DESCRIPTORS, (errno.EMFILE, errno.ENFILE)),
    ((*_OPENS, *_WRITES), (*_FULL, errno.EROFS)),
    (_OPENS, _NO_RIGHT),
    (("bind", "listen"), (errno.EADDRINUSE, errno.EACCES)),
)


class By(Enum):
    """What refused a call; the value is its name in JSON."""

    NOEXEC = "noexec"
    READ_ONLY = "read-only"
    PIDS_GROUP = "pids-group"
    PROCESSES = "processes"
    FILES = "files"
    SYSTEM_FILES = "system-files"
    ADDRESS_SPACE = "address-space"
    MEMORY = "memory"
    SPACE = "space"
    IN_USE = "in-use"
    SECCOMP = "seccomp"
    RIGHTS = "rights"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One call of one process that was refused on one object.

    Attributes:
        name: The call.
        error: The errno.
        pid: The process.
        object: The file, address or nothing.
        count: How often.
        tries: How often the process made the call in all.
        first_ns: When first.
        by: What refused it.
        limit: The limit's place or value, where there is one: a mount, a group, a number.
        allowed: How many it allows; None where that isn't a number.
    """

    name: str
    error: int
    pid: int
    object: bytes
    count: int
    tries: int
    first_ns: int
    by: By
    limit: str
    allowed: int | None


@dataclass(frozen=True, slots=True)
class AlwaysFailed:
    """A call that never did what it is for: ``error`` is the errno of the last time."""

    name: str
    count: int
    error: int


class RefusalTable:
    """Collects refusals piece by piece.

    Args:
        names: Names of files.
        metadata: The capture's.
    """

    def __init__(self, names: Names, metadata: Mapping[str, Any]) -> None:
        self._names = names
        self._limits = _limits(metadata.get("limits"))
        self._found: dict[tuple[int, int, int, bytes], list[int]] = {}
        self._tries: dict[tuple[int, int], int] = {}
        self._rules = [(codes_of(calls), np.array(errors, np.int64)) for calls, errors in _RULES]
        self._watched = np.logical_or.reduce([codes for codes, _ in self._rules])
        size = ARCHITECTURES * CODES
        self._calls, self._denied = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self._last_error = np.zeros(size, np.int64)
        self._maps, self._opens, self._binds = codes_of(_MAPS), codes_of(_OPENS), codes_of(("bind",))
        self._named = codes_of((*_STARTS, *_OPENS))

    def add(self, view: View, resolved: IntArray) -> None:
        """Look at the calls of a piece; ``resolved`` are their files."""
        size = len(self._calls)
        denied = np.flatnonzero(view.failed & np.isin(-view.ret, _DENIED))
        self._calls += np.bincount(view.code, minlength=size)
        self._denied += np.bincount(view.code[denied], minlength=size)
        self._last_error[view.code[denied]] = -view.ret[denied]
        mine = np.flatnonzero(self._watched[view.code])
        pairs, counts = np.unique(np.stack([view.code[mine], view.pid[mine]]), axis=1, return_counts=True)
        for code, pid, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            self._tries[code, pid] = self._tries.get((code, pid), 0) + count
        for row in np.flatnonzero(self._refused(view)).tolist():
            self._take(view, resolved, row)

    def _refused(self, view: View) -> NDArray[np.bool_]:
        error = -view.ret
        found = np.zeros(len(view.code), dtype=bool)
        for codes, errors in self._rules:
            found |= codes[view.code] & np.isin(error, errors)
        return found & view.failed

    def _take(self, view: View, resolved: IntArray, row: int) -> None:
        code, pid, error = int(view.code[row]), int(view.pid[row]), -int(view.ret[row])
        record = view.records[view.calls[row]]
        target = self._object(code, record, int(resolved[row]))
        if error in _NO_RIGHT and not self._matters(code, record, target):
            return
        key = (code, error, pid, target)
        if key in self._found:
            self._found[key][0] += 1
        elif len(self._found) < _MOST:
            self._found[key] = [1, int(view.start[row])]

    def _object(self, code: int, record: Any, name: int) -> bytes:
        if self._binds[code]:
            return address_text(self._names.text(int(record["text"]))) if record["text"] else b""
        if self._named[code] and record["text"]:
            return self._names.name(name) if name != NO_NAME else self._names.text(int(record["text"]))
        return self._names.name(name) if name != NO_NAME else b""

    def _matters(self, code: int, record: Any, target: bytes) -> bool:
        """Tell a refusal from a try: libffi, for one, looks for a place where it may make code."""
        last = target.rpartition(b"/")[2].decode("utf-8", "surrogateescape")
        if self._maps[code]:
            return bool(int(record["args"][2]) & _PROT_EXEC) and is_library(last)
        if self._opens[code]:
            return is_library(last) or last.endswith(".gguf")
        return True

    def rows(self) -> list[Refusal]:
        """Return the refusals, the first one first."""
        found = [
            self._row(code, error, pid, target, count, first)
            for (code, error, pid, target), (count, first) in self._found.items()
        ]
        return sorted(found, key=lambda row: row.first_ns)

    def always_failed(self) -> list[AlwaysFailed]:
        """Return the calls of which each one was denied; one try alone shows no rule."""
        codes = np.flatnonzero((self._denied > 1) & (self._denied == self._calls))
        return [
            AlwaysFailed(name_of(code), int(self._calls[code]), int(self._last_error[code]))
            for code in codes.tolist()
            if name_of(code) not in _TIMED
        ]

    def _row(self, code: int, error: int, pid: int, target: bytes, count: int, first: int) -> Refusal:
        name = name_of(code)
        by, limit, allowed = _by(name, error, target, self._limits.get(pid) or {})
        tries = self._tries.get((code, pid), count)
        return Refusal(name, error, pid, target, count, tries, first, by, limit, allowed)


def _limits(found: Any) -> dict[int, Mapping[str, Any]]:
    entries = found if isinstance(found, list) else []
    return {
        one["pid"]: one for one in entries if isinstance(one, Mapping) and isinstance(one.get("pid"), int)
    }


def _by(name: str, error: int, target: bytes, limits: Mapping[str, Any]) -> tuple[By, str, int | None]:
    """Return what refused a call, as far as the limits of the process tell."""
    if error in (errno.EMFILE, errno.ENFILE):
        by = By.FILES if error == errno.EMFILE else By.SYSTEM_FILES
        return by, "", _resource(limits, "nofile") if by is By.FILES else None
    if error == errno.EADDRINUSE:
        return By.IN_USE, "", None
    if error in (*_FULL, errno.EROFS):
        mount = _mount(limits, target)
        return (By.SPACE if error in _FULL else By.READ_ONLY), mount.place if mount else "", None
    if name in _BIRTHS and error == errno.EAGAIN:
        return _birth(limits)
    if error == errno.ENOMEM:
        allowed = _resource(limits, "address_space")
        return (By.ADDRESS_SPACE if allowed is not None else By.MEMORY), "", allowed
    if name in (*_MAPS, *_STARTS):
        mount = _mount(limits, target)
        if mount is not None and "noexec" in mount.options:
            return By.NOEXEC, mount.place, None
    if error == errno.EPERM and limits.get("seccomp") is True:
        return By.SECCOMP, "", None
    return (By.RIGHTS if error == errno.EACCES else By.UNKNOWN), "", None


def _birth(limits: Mapping[str, Any]) -> tuple[By, str, int | None]:
    group = limits.get("pids_group")
    if isinstance(group, Mapping) and isinstance(group.get("limit"), int) and group.get("refused") != 0:
        return By.PIDS_GROUP, str(group.get("path", "")), group["limit"]
    allowed = _resource(limits, "processes")
    own = allowed is not None and limits.get("exempt") is False
    return (By.PROCESSES, "", allowed) if own else (By.UNKNOWN, "", None)


def _resource(limits: Mapping[str, Any], name: str) -> int | None:
    resources = limits.get("resources")
    value = resources.get(name) if isinstance(resources, Mapping) else None
    return value if isinstance(value, int) else None


def _mount(limits: Mapping[str, Any], target: bytes) -> Mount | None:
    entries = limits.get("mounts")
    mounts = [
        Mount(0, "", str(entry[0]), str(entry[1]), frozenset(map(str, entry[2])))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, list) and len(entry) == 3 and isinstance(entry[2], list)
    ]
    return mount_of(target.decode("utf-8", "surrogateescape"), mounts)
