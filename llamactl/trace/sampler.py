"""Facts about a process that no system call tells, read from /proc as records."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
        lines = Path(f"/proc/{pid}/maps").read_bytes().splitlines()
    except OSError:
        return _blank(0, Kind.MAP, pid)
    records = _blank(len(lines), Kind.MAP, pid)
    for record, line in zip(records, lines, strict=True):
        span, rights, offset, _, inode, *path = line.split(None, 5)
        begin, end = (int(part, 16) for part in span.split(b"-"))
        record["nr"] = sum(bit for letter, bit in PROTECTION.items() if letter.encode() in rights[:3])
        record["args"][:4] = begin, end - begin, int(offset, 16), int(inode)
        record["text"] = writer.add_string(path[0] if path else b"//anon")
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
            found.append((tid, Path(f"/proc/{pid}/task/{tid}/comm").read_bytes().rstrip(b"\n")))
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
    found: dict[bytes, int] = {}
    for line in _lines(pid, "status"):
        name, _, rest = line.partition(b":")
        if name in {b"VmRSS", b"Threads", b"RssFile"}:
            found[name] = int(rest.split()[0])
    rss, file_rss = found.get(b"VmRSS"), found.get(b"RssFile")
    return (
        None if rss is None else rss * 1024,
        found.get(b"Threads"),
        None if file_rss is None else file_rss * 1024,
    )


def _read_bytes(pid: int) -> int | None:
    """Bytes that were really fetched from storage; needs the right to trace the process."""
    return next((int(line.split()[1]) for line in _lines(pid, "io") if line.startswith(b"read_bytes:")), None)


def _faults(pid: int) -> tuple[int | None, int | None]:
    lines = _lines(pid, "stat")
    if not lines:
        return None, None
    fields = lines[0].rpartition(b")")[2].split()  # The name before may hold anything.
    return int(fields[7]), int(fields[9])


def _lines(pid: int, name: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().splitlines()
    except OSError:
        return []
