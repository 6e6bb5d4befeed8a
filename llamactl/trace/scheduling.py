"""How long threads waited for a CPU, and how long their control groups were throttled, looked up while they run.

Linux counts both for everyone to read: CPU time and run delay of each thread (``/proc/PID/task/TID/schedstat``,
Documentation/scheduler/sched-stats.rst; the delay is there without CONFIG_SCHEDSTATS) and the throttled time of
each control group (``cpu.stat``, Documentation/admin-guide/cgroup-v2.rst; ``throttled_time`` of version 1). A
thread of llamactl's own looks at them every few milliseconds; the traced program does nothing for it. Both only
grow, so two looks around a token tell what belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llamactl.snapshot.cgroup import hierarchy
from llamactl.trace.capture.record import RECORD, Kind, Sched

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter

INTERVAL_S = 0.01
CPU_SHARE = 0.01
"""More of one CPU than this isn't used: with many threads the looks come less often."""
ARCHITECTURE = 1 if platform.machine() == "aarch64" else 0
SMOOTHED = 8
"""Looks that the cost of one is taken over: some of them list threads as well."""
LIST_EVERY = 2
"""Looks until threads are listed anew."""

Row = tuple[int, int, int, int, int, int, int, int, int, bytes]
"""pid, tid, begin, end, nr, three values, a state, a group's path."""


@dataclass
class _Source:
    """One file that is read again and again, and what it said last."""

    fd: int
    pid: int
    tid: int
    nr: Sched
    group: bytes = b""
    values: tuple[int, ...] = ()
    unwritten: tuple[int, int] | None = None
    """The last look's moments, when it found nothing new and so made no record."""


@dataclass
class _Found:
    rows: list[Row] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class SchedulingSampler:
    """Looks from the first :meth:`look_at` until it is closed."""

    def __init__(self) -> None:
        self._processes: frozenset[int] = frozenset()
        self._sources: dict[tuple[int, int], _Source] = {}
        self._groups: dict[bytes, _Source] = {}
        self._places: dict[int, bytes] = {}
        self._found = _Found()
        self._stopping = threading.Event()
        self._looks = 0
        self._listed: dict[int, tuple[int, int]] = {}
        """When each process's threads were listed last."""
        self._thread: threading.Thread | None = None

    def look_at(self, processes: set[int]) -> None:
        """Say which processes to look at from now on."""
        self._processes = frozenset(processes - {0})
        if self._thread is None and self._processes and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name="llamactl-sched", daemon=True)
            self._thread.start()

    def take(self, writer: CaptureWriter) -> NDArray[np.void]:
        """Return the SCHED records since the last time."""
        with self._found.lock:
            rows, self._found.rows = self._found.rows, []
        return _records(rows, writer)

    def finish(self, writer: CaptureWriter) -> NDArray[np.void]:
        """Stop looking and return the last SCHED records."""
        self.close()
        return self.take(writer)

    def close(self) -> None:
        """Stop looking; a second time does nothing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        rows: list[Row] = []
        for source in (*self._sources.values(), *self._groups.values()):
            _flush(source, rows)
            os.close(source.fd)
        self._sources.clear()
        self._groups.clear()
        self._keep(rows)

    def _run(self) -> None:
        cost = INTERVAL_S * CPU_SHARE
        while not self._stopping.wait(max(INTERVAL_S, cost / CPU_SHARE)):
            begin = time.thread_time()
            self._look()
            cost += (
                time.thread_time() - begin - cost
            ) / LIST_EVERY  # Listing threads costs more than a look.

    def _look(self) -> None:
        if self._looks % LIST_EVERY == 0:
            self._list()
        self._looks += 1
        rows: list[Row] = []
        for table in (self._sources, self._groups):
            for key, source in list(table.items()):
                if not _read(source, rows):
                    os.close(source.fd)
                    del table[key]  # type: ignore[arg-type]
        self._keep(rows)

    def _keep(self, rows: list[Row]) -> None:
        if rows:
            with self._found.lock:
                self._found.rows += rows

    def _list(self) -> None:
        for pid in self._processes:
            begin = time.monotonic_ns()
            try:
                tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
            except OSError:
                continue
            for tid in tids:
                if (pid, tid) not in self._sources:
                    self._add(self._sources, (pid, tid), f"/proc/{pid}/task/{tid}/schedstat", pid, tid)
                    if pid in self._listed:
                        # It wasn't there the last time, so it had done nothing yet.
                        self._keep([(pid, tid, *self._listed[pid], int(Sched.THREAD), 0, 0, 0, 0, b"")])
            self._listed[pid] = begin, begin
            self._list_groups(pid)

    def _list_groups(self, pid: int) -> None:
        try:
            place = Path(f"/proc/{pid}/cgroup").read_bytes()
        except OSError:
            return
        if self._places.get(pid) == place:
            return
        self._places[pid] = place
        found = hierarchy("cpu", pid)
        for directory in found.upwards() if found else ():
            name = os.fsencode(directory)
            if name not in self._groups:
                self._add(self._groups, name, str(directory / "cpu.stat"), pid, pid, name)

    def _add(self, table: dict, key: object, path: str, pid: int, tid: int, group: bytes = b"") -> None:  # type: ignore[type-arg]
        with contextlib.suppress(OSError):  # It ended meanwhile, or isn't ours to read.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            table[key] = _Source(fd, pid, tid, Sched.GROUP if group else Sched.THREAD, group)


def _read(source: _Source, rows: list[Row]) -> bool:
    """Look once; False when there is nothing to look at any more."""
    begin = time.monotonic_ns()
    try:
        text = os.pread(source.fd, 1024, 0)
    except OSError:
        return False
    end = time.monotonic_ns()
    values = _group_values(text) if source.group else tuple(map(int, text.split()[:3]))
    if len(values) < 2:
        return False
    if values == source.values:
        if source.unwritten is None and not source.group:
            rows.append(_row(source, begin, end, _state(source)))
        source.unwritten = begin, end
        return True
    _flush(source, rows)
    source.values = values
    rows.append(_row(source, begin, end, 0))
    return True


def _flush(source: _Source, rows: list[Row]) -> None:
    """Write the last look that found nothing new: until then it was so."""
    if source.unwritten is not None and source.values:
        rows.append(_row(source, *source.unwritten, 0))
    source.unwritten = None


def _row(source: _Source, begin: int, end: int, state: int) -> Row:
    first, second, third = (*source.values, 0)[:3]
    return source.pid, source.tid, begin, end, int(source.nr), first, second, third, state, source.group


def _group_values(text: bytes) -> tuple[int, ...]:
    """Return how often, and for how long (ns), a control group was throttled."""
    words = text.split()
    found = dict(zip(words[::2], words[1::2], strict=False))
    count = found.get(b"nr_throttled")
    if count is None:
        return ()
    if b"throttled_usec" in found:
        return int(count), int(found[b"throttled_usec"]) * 1000
    return int(count), int(found.get(b"throttled_time", 0))


def _state(source: _Source) -> int:
    """Return the letter of a thread that doesn't run (proc_pid_stat(5)), and the system call it is in plus one."""
    root = f"/proc/{source.pid}/task/{source.tid}"
    try:
        letter = Path(f"{root}/stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return 0
    call = b""
    with contextlib.suppress(OSError):  # Needs the right to trace the program (proc_pid_syscall(5)).
        call = Path(f"{root}/syscall").read_bytes().split(b" ", 1)[0].strip()
    number = int(call) + 1 if call.isdigit() else 0
    return (letter[0] if letter else 0) | number << 8


def _records(rows: list[Row], writer: CaptureWriter) -> NDArray[np.void]:
    records = np.zeros(len(rows), RECORD)
    records["kind"] = Kind.SCHED
    records["cpu"] = 0xFFFF
    records["arch"] = ARCHITECTURE
    for record, row in zip(records, rows, strict=True):
        pid, tid, begin, end, nr, first, second, third, state, group = row
        record["pid"], record["tid"], record["nr"] = pid, tid, nr
        record["start"], record["duration"] = begin, end - begin
        record["args"][:4] = first, second, third, state
        if group:
            record["text"] = writer.add_string(group)
    return records
