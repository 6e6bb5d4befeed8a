"""Facts about a process that no system call tells, read from /proc as records."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

import numpy as np

from llamactl.process import proc_pid
from llamactl.process.proc_text import maps_lines, status_fields
from llamactl.trace.capture.record import CURRENT_DIRECTORY, RECORD, Kind, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter

COUNTERS = ("rss_bytes", "threads", "read_bytes", "minor_faults", "major_faults", "file_rss_bytes")
HIGHEST_FD = CURRENT_DIRECTORY - 1
PROTECTION = {"r": 1, "w": 2, "x": 4}


def counters(pid: int) -> NDArray[np.void]:
    """Sample the process: one COUNTER record for each of ``COUNTERS`` that can be read."""
    rss, threads, file_rss = _from_status(pid)
    values = (rss, threads, _read_bytes(pid), *_faults(pid), file_rss)
    found = [(index, value) for index, value in enumerate(values) if value is not None]
    records = _blank(len(found), Kind.COUNTER, pid)
    for record, (index, value) in zip(records, found, strict=True):
        record["nr"], record["ret"] = index, value
    return records


def start_time(pid: int) -> str | None:
    """Return when the kernel started a process, in its own count (proc_pid_stat(5)); None when there is none."""
    fields = proc_pid.stat_of(pid)
    return fields[19] if fields else None


def children_read_bytes() -> int:
    """Return what children of this process that have ended fetched from storage (getrusage(2), blocks of 512)."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock * 512


def descriptors(pid: int, writer: CaptureWriter, only: Iterable[int] | None = None) -> NDArray[np.void]:
    """Return an FD record for each open file, and one for the current directory.

    Args:
        pid: The process.
        writer: Where the paths are kept.
        only: Just these descriptors.
    """
    root = proc_pid.place(pid)
    found: list[tuple[int, bytes]] = []
    try:
        numbers = [int(name) for name in os.listdir(root / "fd")] if only is None else list(only)
        found.append((CURRENT_DIRECTORY, os.fsencode((root / "cwd").readlink())))
    except OSError:
        return _blank(0, Kind.FD, pid)
    for number in sorted(numbers):
        try:
            target = os.fsencode((root / "fd" / str(number)).readlink())
        except OSError:
            continue  # Closed meanwhile.
        if number <= HIGHEST_FD:
            found.append((number, target))
    records = _blank(len(found), Kind.FD, pid)
    for record, (number, target) in zip(records, found, strict=True):
        record["nr"], record["text"] = number, writer.add_string(target)
    return records


def mappings(pid: int, writer: CaptureWriter) -> NDArray[np.void]:
    """Return a MAP record for each mapping that the process has already."""
    lines = maps_lines(proc_pid.read_or_nothing(pid, "maps"))
    records = _blank(len(lines), Kind.MAP, pid)
    for record, line in zip(records, lines, strict=True):
        record["nr"] = sum(bit for letter, bit in PROTECTION.items() if letter in line.rights[:3])
        record["args"][:4] = line.start, line.end - line.start, line.offset, line.inode
        record["text"] = writer.add_string(line.path or b"//anon")
    return records


def thread_names(pid: int, writer: CaptureWriter) -> NDArray[np.void]:
    """Return a NAME record for each thread that the process has already."""
    named = ((tid, proc_pid.name_of(pid, tid)) for tid in proc_pid.threads_if_any(pid))
    found = [(tid, name) for tid, name in named if name]
    records = _blank(len(found), Kind.TASK, pid)
    for record, (tid, name) in zip(records, found, strict=True):
        record["nr"], record["tid"], record["text"] = Task.NAME, tid, writer.add_string(name)
    return records


def _blank(count: int, kind: Kind, pid: int) -> NDArray[np.void]:
    records = np.zeros(count, RECORD)
    records["kind"] = kind
    records["pid"] = pid
    records["tid"] = pid
    records["start"] = time.monotonic_ns()
    return records


def _from_status(pid: int) -> tuple[int | None, int | None, int | None]:
    """Resident bytes, threads, and resident bytes of files."""
    fields = proc_pid.status_of(pid)
    rss, threads, file_rss = (
        int(fields[name].split()[0]) if name in fields else None for name in ("VmRSS", "Threads", "RssFile")
    )
    return (
        None if rss is None else rss * 1024,
        threads,
        None if file_rss is None else file_rss * 1024,
    )


def _read_bytes(pid: int) -> int | None:
    """Bytes that were really fetched from storage; needs the right to trace the process."""
    value = status_fields(proc_pid.read_or_nothing(pid, "io")).get("read_bytes")
    return None if value is None else int(value)


def _faults(pid: int) -> tuple[int | None, int | None]:
    fields = proc_pid.stat_of(pid)
    return (int(fields[7]), int(fields[9])) if fields else (None, None)


AT_START = {
    "Threads' names": thread_names,
    "Open files": descriptors,
    "Mappings": mappings,
}
"""What is looked up of a program that ran already."""
