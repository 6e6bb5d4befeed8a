"""Connections that nobody answered: how long the program waited, for which address, and in which phase.

A connect that waits for its answer is one long call; with a time limit it returns at once (EINPROGRESS), and poll,
select or epoll wait for the descriptor. It wasn't answered where such a wait came to its end without an event and the
descriptor was closed, or connect itself failed after a while.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

import numpy as np

from llamactl.trace.decode.sockets import address_text
from llamactl.trace.decode.table import moving
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.view import View, codes_of

LEAST_NS = 100_000_000
"""A refusal that comes sooner is an answer."""
_WAITS = ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2")
_USES = ("getsockopt", *moving("in", "out"))
_FAILED = (
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ECONNREFUSED,
    errno.EINTR,
    errno.EAGAIN,
)
_NO_EVENT = 0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The connects of a process to one address that got no answer; ``waited_ns`` is what they took together."""

    pid: int
    address: bytes
    count: int
    waited_ns: int
    before_load: bool
    """All before a model was loaded."""


@dataclass(slots=True)
class _Open:
    """A connect under way: since when, by which thread, and the end of the last wait that nothing came from."""

    address: bytes
    begun: int
    tid: int
    waited_to: int


class ConnectTable:
    """Follows connects piece by piece."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._connect, self._close = codes_of(("connect",)), codes_of(("close",))
        self._wait = codes_of(_WAITS)
        self._use = codes_of(_USES)
        self._watched = self._connect | self._close | self._wait | self._use
        self._open: dict[tuple[int, int], _Open] = {}
        self._found: dict[tuple[int, bytes], list[int]] = {}

    def add(self, view: View) -> None:
        """Look at the calls of a piece."""
        wanted = self._watched if self._open else self._connect
        rows = np.flatnonzero(wanted[view.code])
        if len(rows) and not self._open:
            first = int(rows[0])
            rows = first + np.flatnonzero(self._watched[view.code[first:]])
        for row in rows.tolist():
            self._take(view, row)

    def _take(self, view: View, row: int) -> None:
        code, pid, tid = int(view.code[row]), int(view.pid[row]), int(view.tid[row])
        begun, ended = int(view.start[row]), int(view.start[row] + view.duration[row])
        result = int(view.ret[row])
        record = view.records[view.calls[row]]
        key = (pid, int(record["args"][0]) & 0xFFFFFFFF)
        if self._connect[code]:
            self._open.pop(key, None)
            address = (
                address_text(self._names.text(int(record["text"])))
                if record["text"]
                else b"an unknown address"
            )
            if result == -errno.EINPROGRESS:
                self._open[key] = _Open(address, begun, tid, 0)
            elif -result in _FAILED or not view.finished[row]:
                self._unanswered(pid, address, begun, ended)
        elif self._close[code]:
            under_way = self._open.pop(key, None)
            if under_way is not None and under_way.waited_to:
                self._unanswered(pid, under_way.address, under_way.begun, under_way.waited_to)
        elif self._use[code]:
            self._open.pop(key, None)  # Who asks for its state, or sends, was told that there is one.
        elif result == _NO_EVENT:
            # The one begun last is what is waited for; others may have been begun and left.
            mine = [one for one in self._open.values() if one.tid == tid]
            if mine:
                max(mine, key=lambda one: one.begun).waited_to = ended

    def _unanswered(self, pid: int, address: bytes, begun: int, ended: int) -> None:
        if ended - begun < LEAST_NS:
            return
        found = self._found.setdefault((pid, address), [0, 0, begun, ended])
        found[0] += 1
        found[1] += ended - begun
        found[3] = max(found[3], ended)

    def rows(self, phases: Phases) -> list[Unanswered]:
        """Return the addresses, those that were waited for longest first."""
        load = (
            phases.start[phases.number == phases.names.index("load")]
            if "load" in phases.names
            else np.zeros(0, np.int64)
        )
        found = [
            Unanswered(pid, address, count, waited, len(load) > 0 and last <= int(load[0]))
            for (pid, address), (count, waited, _, last) in self._found.items()
        ]
        return sorted(found, key=lambda row: -row.waited_ns)
