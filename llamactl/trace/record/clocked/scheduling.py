"""How long threads waited for a CPU, and how long their control groups were throttled, looked up while they run.

Linux counts both for everyone to read: CPU time and run delay of each thread (``/proc/PID/task/TID/schedstat``,
Documentation/scheduler/sched-stats.rst; the delay is there without CONFIG_SCHEDSTATS) and the throttled time of
each control group (``cpu.stat``, Documentation/admin-guide/cgroup-v2.rst; ``throttled_time`` of version 1). A
thread of llamactl's own looks at them every few milliseconds; the traced program does nothing for it. Both only
grow, so two looks around a token tell what belongs to it. Seldom, it also looks at which CPUs the threads may use
(sched_getaffinity(2)) and at how busy these are, and at whether Python collects garbage.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from llamactl.process import proc_pid
from llamactl.process.cgroup import hierarchy
from llamactl.process.cpu_wait import notable
from llamactl.process.descendants import descendants
from llamactl.trace.capture.record import Sched
from llamactl.trace.record.clocked.collector_looks import CollectorLooks
from llamactl.trace.record.clocked.neighbours import Neighbours
from llamactl.trace.record.clocked.scheduling_sources import (
    Row,
    Source,
    affinity_row,
    machine_row,
    records_of,
)
from llamactl.trace.record.session_parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter

INTERVAL_S = 0.01
CPU_SHARE = 0.01
"""More of one CPU than this isn't used: with many threads the looks come less often."""
LONGEST_S = 0.25
"""Looks are no further apart, whatever they cost."""
LIST_EVERY = 2
"""Looks until threads are listed anew."""
FAMILY_EVERY_S = 0.1
"""How often the program's child processes are listed."""
MACHINE_EVERY_S = 0.1
NICE = -10


class SchedulingSampler:
    """Looks from the first :meth:`look_at` until it is closed.

    Args:
        started: Whether the program is one that llamactl starts: whatever its threads have done when they are
            seen first was done while it was recorded.
        parts: Where a look that failed is noted.
    """

    def __init__(self, started: bool = False, parts: Parts | None = None) -> None:
        self._since = (time.monotonic_ns(),) * 2 if started else None
        self._asked: frozenset[int] = frozenset()
        self._processes: frozenset[int] = frozenset()
        self._threads: dict[tuple[int, int], Source] = {}
        self._groups: dict[bytes, Source] = {}
        self._places: dict[int, bytes] = {}
        self._allowed: dict[tuple[int, int], tuple[int, frozenset[int]]] = {}
        """Each thread's CPU time when its CPUs were looked up last, and those."""
        self.collectors = CollectorLooks()
        self._neighbours = Neighbours()
        self._rows: list[Row] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._looks = 0
        self._once_s = 0.0
        """CPU time of the last look that others don't take: finding a new process's collector, or the neighbours."""
        self._closed = False
        self._next_family = self._next_machine = 0.0
        self._cpus: frozenset[int] = frozenset()
        self._listed: dict[int, tuple[int, int]] = {}
        """When each process's threads were listed last."""
        self._thread: threading.Thread | None = None
        self._parts = parts or Parts()

    def look_at(self, processes: set[int]) -> None:
        """Say which processes, with all that they start, to look at from now on."""
        self._asked = frozenset(processes - {0})
        if self._thread is None and self._asked and not self._stopping.is_set():
            self._look()
            self._thread = threading.Thread(target=self._run, name="llamactl-sched", daemon=True)
            self._thread.start()

    def take(self, writer: CaptureWriter) -> NDArray[np.void]:
        """Return the SCHED records since the last time."""
        with self._lock:
            rows, self._rows = self._rows, []
        return records_of(rows, writer)

    def finish(self, writer: CaptureWriter) -> NDArray[np.void]:
        """Stop looking and return the last SCHED records."""
        self.close()
        return self.take(writer)

    def close(self) -> None:
        """Stop looking; a second time does nothing."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._closed:
            return
        self._closed = True
        rows: list[Row] = []
        for source in (*self._threads.values(), *self._groups.values()):
            source.read(rows)  # A quota's throttling is counted when it ends: the last look tells most.
            source.flush(rows)
            source.close()
        if self._cpus:
            self._machine(rows)
            rows += self._neighbours.end(self._processes, self._cpus)
        self.collectors.look(rows)
        self.collectors.close()
        self._threads.clear()
        self._groups.clear()
        self._keep(rows)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # Needs CAP_SYS_NICE. A starved machine is what it has to see.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        cost = INTERVAL_S * CPU_SHARE
        while not self._stopping.wait(min(max(INTERVAL_S, cost / CPU_SHARE), LONGEST_S)):
            begin, self._once_s = time.thread_time(), 0.0
            self._parts.run("Waits for a CPU", self._look, None)
            spent = time.thread_time() - begin - self._once_s
            cost += (spent - cost) / LIST_EVERY  # Listing threads costs more than a look.

    def _look(self) -> None:
        rows: list[Row] = []
        now = time.monotonic()
        if now >= self._next_family:
            self._next_family = now + FAMILY_EVERY_S
            self._list_processes()
            self._once(lambda: self.collectors.find(self._processes))
        listing = self._looks % LIST_EVERY == 0
        self._looks += 1
        if listing:
            self._list(rows)
        for table in (self._threads, self._groups):
            for key, source in list(table.items()):
                if not source.read(rows):
                    source.flush(
                        rows
                    )  # Up to the last look it was so: a thread that waited then, waited until then.
                    source.close()
                    del table[key]  # type: ignore[arg-type]
        self.collectors.look(rows)
        if listing:
            self._affinities(rows)
        if now >= self._next_machine and self._cpus:
            self._next_machine = now + MACHINE_EVERY_S
            self._machine(rows)
            if not self._neighbours.begun and self._starved():
                self._once(self._neighbours.begin)
        self._keep(rows)

    def _once(self, work: Callable[[], None]) -> None:
        """Do what other looks don't: looks stay as close as they are."""
        begin = time.thread_time()
        work()
        self._once_s += time.thread_time() - begin

    def _starved(self) -> bool:
        """Tell whether the threads that are there have waited so long that one wants to know for whom."""
        waited = [source.values[1] - source.first[1] for source in self._threads.values() if source.values]
        ran = [source.values[0] - source.first[0] for source in self._threads.values() if source.values]
        total = sum(waited) + sum(ran)
        return total > 0 and notable(sum(waited), sum(waited) / total)

    def _keep(self, rows: list[Row]) -> None:
        if rows:
            with self._lock:
                self._rows += rows

    def _list_processes(self) -> None:
        self._processes = frozenset({*self._asked, *(pid for one in self._asked for pid in descendants(one))})

    def _list(self, rows: list[Row]) -> None:
        scanned = (time.monotonic_ns(),) * 2
        for pid in self._processes:
            begin = time.monotonic_ns()
            tids = proc_pid.threads_if_any(pid)
            if not tids:
                continue
            before = self._listed.get(pid, self._since)
            for tid in tids:
                if (pid, tid) not in self._threads:
                    self._add_thread(pid, tid)
                    if before is not None:
                        # It wasn't there the last time, so it had done nothing yet.
                        rows.append(Row(Sched.THREAD, pid, tid, *before))
            self._listed[pid] = begin, begin
            self._list_groups(pid)
        self._since = scanned if self._processes else self._since

    def _add_thread(self, pid: int, tid: int) -> None:
        try:
            source = Source(str(proc_pid.place(pid, "task", tid, "schedstat")), Sched.THREAD, pid, tid)
        except OSError:  # It ended meanwhile, or isn't ours to read.
            return
        self._threads[pid, tid] = source

    def _list_groups(self, pid: int) -> None:
        place = proc_pid.read_or_nothing(pid, "cgroup")
        if not place or self._places.get(pid) == place:
            return
        self._places[pid] = place
        found = hierarchy("cpu", pid)
        for directory in found.upwards() if found else ():
            name = os.fsencode(directory)
            if name not in self._groups:
                try:
                    self._groups[name] = Source(str(directory / "cpu.stat"), Sched.GROUP, pid, pid, name)
                except OSError:
                    continue

    def _affinities(self, rows: list[Row]) -> None:
        """Look up the CPUs of the threads that have run since the last time."""
        for (pid, tid), source in self._threads.items():
            ran = source.values[0] if source.values else 0
            before = self._allowed.get((pid, tid))
            if before is not None and before[0] == ran:
                continue
            try:
                cpus = frozenset(os.sched_getaffinity(tid))
            except OSError:
                continue
            if before is None or before[1] != cpus:
                rows.append(affinity_row(pid, tid, cpus))
            self._allowed[pid, tid] = ran, cpus
        for gone in self._allowed.keys() - self._threads.keys():
            del self._allowed[gone]
        cpus = frozenset().union(*(cpus for _, cpus in self._allowed.values()))
        if cpus and cpus != self._cpus:
            self._machine(rows)  # Until now they could use others.
            self._cpus = cpus
            self._machine(rows)

    def _machine(self, rows: list[Row]) -> None:
        row = machine_row(min(self._processes, default=0), self._cpus) if self._cpus else None
        if row is not None:
            rows.append(row)
