"""What is looked up about threads, control groups and CPUs, each look as a row for the capture."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llamactl.process import proc_pid
from llamactl.process.cpu_budget import physical_cores
from llamactl.process.cpu_quota import parse_cpu_stat, quota_of
from llamactl.trace.capture.record import RECORD, UNKNOWN_CPU, Kind, Sched
from llamactl.trace.decode.table import arch_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter

ARCHITECTURE = arch_of(platform.machine())
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Row:
    """One look; ``args`` and ``text`` are what :class:`Sched` says."""

    nr: Sched
    pid: int
    tid: int
    begin: int
    end: int
    args: tuple[int, ...] = ()
    text: bytes = b""


class Source:
    """One file that is read again and again, and what it said last.

    Args:
        path: The file.
        nr: Whether it is a thread's or a control group's.
        pid: The process.
        tid: The thread.
        group: The control group's directory.

    Raises:
        OSError: It ended meanwhile, or isn't ours to read.
    """

    def __init__(self, path: str, nr: Sched, pid: int, tid: int, group: bytes = b"") -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.pid, self.tid, self.nr, self.group = pid, tid, nr, group
        self.values: tuple[int, ...] = ()
        self.first: tuple[int, ...] = ()
        """What it said when it was read first."""
        self._limit = _limit(group) if group else (0, 0)
        self._unwritten: tuple[int, int] | None = None
        """The last look's moments, when it found nothing new and so made no row."""

    def read(self, rows: list[Row]) -> bool:
        """Look once; False when there is nothing to look at any more."""
        begin = time.monotonic_ns()
        try:
            text = os.pread(self.fd, 1024, 0)
        except OSError:
            return False
        end = time.monotonic_ns()
        values = _group_values(text) if self.group else tuple(map(int, text.split()[:3]))
        if len(values) < 2:
            return False
        if values == self.values:
            if self._unwritten is None and not self.group:
                rows.append(self._row(begin, end, _state(self.pid, self.tid)))
            self._unwritten = begin, end
            return True
        self.flush(rows)
        if self.group and self.values:
            self._limit = _limit(self.group)  # It may be changed while the program runs.
        self.values = values
        self.first = self.first or values
        rows.append(self._row(begin, end))
        return True

    def flush(self, rows: list[Row]) -> None:
        """Write the last look that found nothing new: until then it was so."""
        if self._unwritten is not None and self.values:
            rows.append(self._row(*self._unwritten))
        self._unwritten = None

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def _row(self, begin: int, end: int, state: int = 0) -> Row:
        more = self._limit if self.group else ()
        return Row(self.nr, self.pid, self.tid, begin, end, (*self.values, state, *more), self.group)


def _group_values(text: bytes) -> tuple[int, ...]:
    found = parse_cpu_stat(text)
    return () if found is None else (found.throttled_periods, found.throttled_ns, found.periods)


def _limit(group: bytes) -> tuple[int, int]:
    quota = quota_of(Path(os.fsdecode(group)))
    return (0, 0) if quota is None else (quota.quota_us, quota.period_us)


def _state(pid: int, tid: int) -> int:
    """Return the letter of a thread that doesn't run (proc_pid_stat(5)), and the system call it is in plus one."""
    fields = proc_pid.stat_of(pid, tid)
    # Needs the right to trace the program (proc_pid_syscall(5)).
    call = proc_pid.read_or_nothing(pid, f"task/{tid}/syscall").split(b" ", 1)[0].strip() if fields else b""
    number = int(call) + 1 if call.isdigit() else 0
    return (ord(fields[0][0]) if fields else 0) | number << 8


def affinity_row(pid: int, tid: int, cpus: frozenset[int]) -> Row:
    """Return a row of the CPUs that a thread may use now."""
    now = time.monotonic_ns()
    counts = len(cpus), physical_cores(set(cpus))
    return Row(Sched.AFFINITY, pid, tid, now, now, counts, cpu_list(cpus))


def machine_row(pid: int, cpus: frozenset[int]) -> Row | None:
    """Return a row of what CPUs did since the machine started (``/proc/stat``, proc_stat(5))."""
    begin = time.monotonic_ns()
    try:
        lines = Path("/proc/stat").read_bytes().split(b"\n")
    except OSError:
        return None
    busy = idle = stolen = 0
    for line in lines[1:]:
        if not line.startswith(b"cpu"):
            break
        name, *words = line.split()
        if int(name[3:]) in cpus:
            # user, nice, system, idle, iowait, irq, softirq, steal; the guests' time is in the first two.
            ticks = [int(word) for word in words[:8]]
            busy += sum(ticks[:3]) + sum(ticks[5:7])
            idle += sum(ticks[3:5])
            stolen += ticks[7]
    values = tuple(ticks * TICK_NS for ticks in (busy, idle, stolen))
    return Row(Sched.MACHINE, pid, pid, begin, time.monotonic_ns(), values, cpu_list(cpus))


def cpu_list(cpus: frozenset[int]) -> bytes:
    """Return CPUs as the kernel lists them, such as ``0-3,8``."""
    spans: list[tuple[int, int]] = []
    for cpu in sorted(cpus):
        if spans and spans[-1][1] == cpu - 1:
            spans[-1] = spans[-1][0], cpu
        else:
            spans.append((cpu, cpu))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans).encode()


def records_of(rows: list[Row], writer: CaptureWriter) -> NDArray[np.void]:
    """Return rows as SCHED records."""
    records = np.zeros(len(rows), RECORD)
    records["kind"] = Kind.SCHED
    records["cpu"] = UNKNOWN_CPU
    records["arch"] = ARCHITECTURE
    for record, row in zip(records, rows, strict=True):
        record["pid"], record["tid"], record["nr"] = row.pid, row.tid, row.nr
        record["start"], record["duration"] = row.begin, row.end - row.begin
        record["args"][: len(row.args)] = row.args
        if row.text:
            record["text"] = writer.add_string(row.text)
    return records
