"""The process tree: who started whom, what each ran, how it ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llamactl.trace.capture.record import Flag, Kind, Task
from llamactl.trace.decode.signals import signal_name
from llamactl.trace.mechanisms.lineage import FOREVER, Fork
from llamactl.trace.mechanisms.memory.counter_steps import Life
from llamactl.trace.mechanisms.view import View

MOST_STATUS = 0xFFFF
"""The most that wait(2) gives of a process that has ended."""


@dataclass(slots=True)
class _Process:
    pid: int
    parent: int | None = None
    commands: list[str] = field(default_factory=list)
    began_ns: int | None = None
    ended_ns: int | None = None
    executed_ns: int | None = None
    ended: bool = False
    status: int | None = None
    calls: int = 0
    tids: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process; ``count`` is its system calls, ``depth`` its level in the tree."""

    name: str
    count: int
    pid: int
    parent: int | None
    depth: int
    threads: int
    begin_s: float | None
    end_s: float | None
    from_disk_bytes: int | None
    """What it fetched from storage at least, with children that were too short for a sample; None where nobody looked."""
    largest_rss_bytes: int | None
    """The most resident memory that was sampled."""
    end: str | None
    """``exit 0`` or the signal, ``unknown`` where it ended and nobody could say how; None when its end wasn't seen."""


UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class End:
    """The end of one process; ``status`` is as from ``os.waitpid``, None where nobody could say."""

    pid: int
    name: str
    parent: int | None
    status: int | None
    moment_ns: int | None


class ProcessTable:
    """Follows processes.

    Args:
        text: Returns the string behind a reference.
        metadata: The capture's: who the children were that were there already.
    """

    def __init__(self, text: Callable[[int], bytes], metadata: Mapping[str, Any]) -> None:
        self._text = text
        children = metadata.get("children") or {}
        self._parents = {
            int(one["pid"]): one["parent"]
            for one in children.get("processes", ())
            if children.get("recorded")
        }
        self._processes: dict[int, _Process] = {}

    def add(self, view: View) -> None:
        """Count the calls and follow the tasks of a piece."""
        if len(view.calls):
            pids, index = view.processes
            tids, thread = view.threads
            calls = np.bincount(index * len(tids) + thread, minlength=len(pids) * len(tids))
            for number, count in enumerate(calls.reshape(len(pids), len(tids)).sum(axis=1).tolist()):
                self._process(int(pids[number])).calls += count
            for pair in np.flatnonzero(calls).tolist():
                self._process(int(pids[pair // len(tids)])).tids.add(int(tids[pair % len(tids)]))
        for record in view.of_kind(Kind.TASK):
            self._task(record)

    def rows(
        self, begin_ns: int, from_disk: Mapping[int, int], largest_rss: Mapping[int, int]
    ) -> list[ProcessRow]:
        """Return the processes as a tree, children after their parent.

        Args:
            begin_ns: The capture's first moment.
            from_disk: Bytes that each sampled process fetched from storage.
            largest_rss: The largest resident size of each, bytes.
        """
        children: dict[int | None, list[_Process]] = {}
        for process in self._processes.values():
            parent = process.parent if process.parent in self._processes else None
            children.setdefault(parent, []).append(process)
        rows: list[ProcessRow] = []
        stack = [(process, 0) for process in reversed(children.get(None, []))]
        while stack:
            process, depth = stack.pop()
            pid = process.pid
            rows.append(_row(process, depth, begin_ns, from_disk.get(pid), largest_rss.get(pid)))
            stack += [(child, depth + 1) for child in reversed(children.get(process.pid, []))]
        return rows

    def waited_for(self, pid: int, status: int | None) -> None:
        """Take what the recorder itself learned of its child, where the records don't tell it.

        Args:
            pid: The child.
            status: As from ``os.waitpid``; None where it wasn't the recorder's child, or hasn't ended.
        """
        process = self._processes.get(pid)
        if process is not None and process.status is None and status is not None:
            process.status, process.ended = status, True

    def ends(self) -> list[End]:
        """Return how processes ended, those whose end was seen, in the order of time."""
        found = [
            End(process.pid, _name(process), process.parent, process.status, process.ended_ns)
            for process in self._processes.values()
            if process.ended
        ]
        return sorted(found, key=lambda end: end.moment_ns or 0)

    def names(self) -> dict[int, str]:
        """Return the name of each process, as in the rows."""
        return {process.pid: _name(process) for process in self._processes.values()}

    def parents(self) -> dict[int, int | None]:
        """Return each process's parent, as far as it was recorded."""
        return {process.pid: process.parent for process in self._processes.values()}

    def forks(self) -> dict[int, Fork]:
        """Return which processes began as copies of others."""
        return {
            process.pid: Fork(process.parent, process.began_ns, process.executed_ns or FOREVER)
            for process in self._processes.values()
            if process.parent is not None and process.began_ns is not None
        }

    def lives(self) -> dict[int, Life]:
        """Return when each process was there, as far as it was recorded."""
        return {
            process.pid: Life(process.parent, process.began_ns, process.ended_ns)
            for process in self._processes.values()
        }

    def _task(self, record: np.void) -> None:
        kind, pid, moment = int(record["nr"]), int(record["pid"]), int(record["start"])
        process = self._process(pid)
        child = int(record["args"][1])
        if kind in {Task.CLONE, Task.FORK, Task.VFORK} and child not in {0, pid}:
            started = self._process(child)
            started.parent, started.began_ns = pid, moment
            started.commands = process.commands[-1:]  # Until it starts another program it runs its parent's.
        elif kind == Task.EXEC or (kind == Task.NAME and int(record["tid"]) == pid and not process.commands):
            process.commands.append(self._text(int(record["text"])).decode("utf-8", "backslashreplace"))
            if kind == Task.EXEC:
                process.executed_ns = process.executed_ns or moment
        elif kind == Task.EXIT and int(record["tid"]) == pid:
            process.ended_ns, process.ended = moment, True
            if not int(record["flags"]) & Flag.NO_EXIT:
                status = int(record["ret"])
                process.status = status if 0 <= status <= MOST_STATUS else None

    def _process(self, pid: int) -> _Process:
        process = self._processes.get(pid)
        if process is None:
            process = self._processes[pid] = _Process(pid, self._parents.get(pid))
        return process


def _name(process: _Process) -> str:
    return next((command for command in reversed(process.commands) if command), f"process {process.pid}")


def _row(
    process: _Process, depth: int, begin_ns: int, from_disk: int | None, largest_rss: int | None
) -> ProcessRow:
    def seconds(moment: int | None) -> float | None:
        return None if moment is None else (moment - begin_ns) / 1e9

    return ProcessRow(
        name=_name(process),
        count=process.calls,
        pid=process.pid,
        parent=process.parent,
        depth=depth,
        threads=len(process.tids),
        begin_s=seconds(process.began_ns),
        end_s=seconds(process.ended_ns),
        from_disk_bytes=from_disk,
        largest_rss_bytes=largest_rss,
        end=_end(process),
    )


def _end(process: _Process) -> str | None:
    status = process.status
    if status is None or not 0 <= status <= MOST_STATUS:
        return UNKNOWN if process.ended else None
    if os.WIFSIGNALED(status):
        return signal_name(os.WTERMSIG(status))
    return f"exit {os.WEXITSTATUS(status)}"
