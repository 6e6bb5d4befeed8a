"""Facts about a process that no system call tells, read from /proc as records."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llamactl.process.proc_text import comm_name, maps_lines, stat_fields, status_fields
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
    data = _bytes(pid, "stat")
    return stat_fields(data)[1][19] if data else None


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
    root = Path(f"/proc/{pid}")
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
    try:
        lines = maps_lines(Path(f"/proc/{pid}/maps").read_bytes())
    except OSError:
        return _blank(0, Kind.MAP, pid)
    records = _blank(len(lines), Kind.MAP, pid)
    for record, line in zip(records, lines, strict=True):
        record["nr"] = sum(bit for letter, bit in PROTECTION.items() if letter in line.rights[:3])
        record["args"][:4] = line.start, line.end - line.start, line.offset, line.inode
        record["text"] = writer.add_string(line.path or b"//anon")
    return records


def thread_names(pid: int, writer: CaptureWriter) -> NDArray[np.void]:
    """Return a NAME record for each thread that the process has already."""
    found: list[tuple[int, bytes]] = []
    try:
        tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        tids = []
    for tid in sorted(tids):
        try:
            found.append((tid, comm_name(Path(f"/proc/{pid}/task/{tid}/comm").read_bytes())))
        except OSError:
            continue
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
    fields = status_fields(_bytes(pid, "status"))
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
    value = status_fields(_bytes(pid, "io")).get("read_bytes")
    return None if value is None else int(value)


def _faults(pid: int) -> tuple[int | None, int | None]:
    data = _bytes(pid, "stat")
    if not data:
        return None, None
    _, fields = stat_fields(data)
    return int(fields[7]), int(fields[9])


def _bytes(pid: int, name: str) -> bytes:
    """The whole file; empty when it can't be read: for the process's end, too."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


AT_START = {
    "Threads' names": thread_names,
    "Open files": descriptors,
    "Mappings": mappings,
}
"""What is looked up of a program that ran already."""
