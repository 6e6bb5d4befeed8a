"""Threads: role, life, calls, time inside calls and time blocked in calls that wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.process.threads.thread_roles import role_by_name, words_for
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind, Task
from llamactl.trace.mechanisms.phases import Phases
from llamactl.trace.mechanisms.view import View, codes_of

WAITING = frozenset(
    {
        "futex",
        "futex_wait",
        "futex_waitv",
        "poll",
        "ppoll",
        "select",
        "pselect6",
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "nanosleep",
        "clock_nanosleep",
        "wait4",
        "waitid",
        "pause",
        "rt_sigsuspend",
        "rt_sigtimedwait",
        "accept",
        "accept4",
        "sched_yield",
        "io_getevents",
        "recvfrom",
        "recvmsg",
    }
)
_COMPUTING = ("prefill", "decode")
UNKNOWN = "unknown"
Role = tuple[str, str]
"""A role and the evidence for it."""


@dataclass(slots=True)
class _Thread:
    tid: int
    pid: int
    first_ns: int
    last_ns: int
    calls: int = 0
    unfinished: int = 0
    total_ns: float = 0
    blocked_ns: float = 0
    computing: int = 0
    """Calls made while a prompt was read or a token generated."""
    python: int = 0
    name: str | None = None
    parent: int | None = None
    began_ns: int | None = None
    ended_ns: int | None = None


_COMM = 15
"""Bytes of a thread's name (TASK_COMM_LEN - 1)."""


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One thread; times in seconds since the capture began.

    ``count`` is its system calls; ``unfinished`` of them were still under way when recording, or the thread, ended.
    """

    name: str
    count: int
    tid: int
    pid: int
    role: str
    evidence: str
    parent: int | None
    begin_s: float | None
    """When it was created; None for one that was there before."""
    end_s: float | None
    """When it ended; None when that wasn't seen."""
    unfinished: int
    active_s: float
    """From its first to its last record."""
    calls_ns: int
    blocked_ns: int | None
    """In calls that wait; None where futexes weren't recorded and nothing else was waited in."""


class ThreadTable:
    """Adds up by thread.

    Args:
        phases: The phases of the capture, which tell a computing thread from others.
        capture: Has the strings, and what the recorder could tell of threads that were there at the end.
    """

    def __init__(self, phases: Phases, capture: Capture) -> None:
        self._phases = phases
        self._text = capture.text
        self._known = {
            (one["process"], one["thread"]): (one["role"], one["evidence"])
            for one in capture.metadata.get("thread_roles") or ()
            if one["role"] != UNKNOWN
        }
        self._threads: dict[int, _Thread] = {}
        self._waiting = codes_of(WAITING)
        self._computing = np.array([name in _COMPUTING for name in phases.names] + [False])

    def add(self, view: View) -> None:
        """Count the records of a piece."""
        if len(view.calls):
            self._add_calls(view)
        others = view.kind != Kind.SYSCALL
        if others.any():
            self._add_tasks(view.of_kind(Kind.TASK))
            python = (view.kind == Kind.GIL) | (view.kind == Kind.CALL)
            tids, counts = np.unique(view.records["tid"][python], return_counts=True)
            for tid, count in zip(tids.tolist(), counts.tolist(), strict=True):
                if tid in self._threads:
                    self._threads[tid].python += count

    def rows(self, begin_ns: int, futexes: bool = True) -> list[ThreadRow]:
        """Return the threads in the order of their first record.

        Args:
            begin_ns: The capture's first moment.
            futexes: Whether waits for locks were recorded; else it isn't known that a thread never blocked.
        """
        return [
            _row(thread, self._role(thread), begin_ns, futexes)
            for thread in sorted(self._threads.values(), key=lambda t: t.first_ns)
        ]

    def called(self) -> dict[int, set[str]]:
        """Return the words by which each thread may be asked for: role, name and number, in small letters."""
        return {
            tid: words_for(self._role(thread)[0])
            | {(thread.name or "").lower(), str(tid)}
            | ({"compute"} if _computes(thread) else set())
            for tid, thread in self._threads.items()
        }

    def _role(self, thread: _Thread) -> Role:
        return self._known.get((thread.pid, thread.tid)) or _role(thread)

    def _add_calls(self, view: View) -> None:
        tids, inverse = view.threads
        size = len(tids)
        first = np.full(size, len(inverse))
        np.minimum.at(first, inverse, np.arange(len(inverse)))
        count = np.bincount(inverse, minlength=size)
        total = np.bincount(inverse, view.duration, minlength=size)
        waiting = self._waiting[view.code]
        blocked = np.bincount(inverse[waiting], view.duration[waiting], minlength=size)
        computing = np.bincount(inverse[self._computing[view.phase(self._phases)]], minlength=size)
        unfinished = np.bincount(inverse[view.under_way], minlength=size)
        last = np.zeros(size, np.int64)
        np.maximum.at(last, inverse, view.start + view.duration)
        for index, tid in enumerate(tids.tolist()):
            began = int(view.start[first[index]])
            thread = self._thread(tid, int(view.pid[first[index]]), began)
            thread.first_ns = min(thread.first_ns, began)
            thread.last_ns = max(thread.last_ns, int(last[index]))
            thread.calls += int(count[index])
            thread.unfinished += int(unfinished[index])
            thread.total_ns += float(total[index])
            thread.blocked_ns += float(blocked[index])
            thread.computing += int(computing[index])

    def _add_tasks(self, records: NDArray[np.void]) -> None:
        for record in records:
            tid, pid, moment = int(record["tid"]), int(record["pid"]), int(record["start"])
            thread = self._thread(tid, pid, moment)
            kind = int(record["nr"])
            if kind in {Task.CLONE, Task.FORK, Task.VFORK}:
                child_tid, child_pid = int(record["args"][0]), int(record["args"][1])
                child = self._thread(child_tid, child_pid or pid, moment)
                child.parent, child.began_ns = tid, moment
                if child_pid not in {0, pid}:
                    child.name = thread.name  # A new process goes on under its parent's name.
            elif kind == Task.EXEC:
                # As the kernel names it (begin_new_exec in its exec.c), until it renames itself.
                program = self._text(int(record["text"])).rpartition(b"/")[2][:_COMM]
                thread.name = program.decode("utf-8", "backslashreplace") or thread.name
            elif kind == Task.EXIT:
                thread.ended_ns = moment
            elif kind == Task.NAME:
                thread.name = self._text(int(record["text"])).decode("utf-8", "backslashreplace")

    def _thread(self, tid: int, pid: int, moment: int) -> _Thread:
        thread = self._threads.get(tid)
        if thread is None:
            thread = self._threads[tid] = _Thread(tid, pid, moment, moment)
        return thread


def find_threads(views: Iterable[View], phases: Phases, capture: Capture) -> dict[int, set[str]]:
    """Return the words for each thread of a capture, in a pass of its own."""
    threads = ThreadTable(phases, capture)
    for view in views:
        threads.add(view)
    return threads.called()


def _role(thread: _Thread) -> Role:
    """Return what the records tell of a thread whose descriptor nobody read."""
    if thread.tid == thread.pid:
        return "main", "its number is the process's"
    named = role_by_name(thread.name or "")
    if named is not None:
        return named, f"its name is {thread.name}"
    if thread.python:
        return "Python", "calls into llama.cpp or waits for the GIL"
    if _computes(thread):
        return "compute", "most of its calls fall into prefill and decode"
    return UNKNOWN, "nothing tells"


def _computes(thread: _Thread) -> bool:
    return thread.tid != thread.pid and not thread.python and thread.computing * 2 > thread.calls


def _row(thread: _Thread, known: Role, begin_ns: int, futexes: bool) -> ThreadRow:
    role, evidence = known

    def seconds(moment: int | None) -> float | None:
        return None if moment is None else (moment - begin_ns) / 1e9

    return ThreadRow(
        name=thread.name or f"thread {thread.tid}",
        count=thread.calls,
        tid=thread.tid,
        pid=thread.pid,
        role=role,
        evidence=evidence,
        parent=thread.parent,
        begin_s=seconds(thread.began_ns),
        end_s=seconds(thread.ended_ns),
        unfinished=thread.unfinished,
        active_s=(thread.last_ns - thread.first_ns) / 1e9,
        calls_ns=int(thread.total_ns),
        blocked_ns=int(thread.blocked_ns) if futexes or thread.blocked_ns else None,
    )
