"""What ``/proc`` tells of a process by its number: the one place that knows where its files are (proc_pid(5)).

A number may be given to another process later. Where that would mislead, the process is held by
:class:`~llamactl.process.proc.ProcessDir`. Here a process that is gone is an answer: nothing, or an OSError.
"""

from __future__ import annotations

import os
from pathlib import Path

from llamactl.process.proc_text import comm_name, stat_fields, status_fields

PIECE_BYTES = 1 << 16
Number = int | str
"""A process's or thread's number, ``self`` or ``thread-self``."""


def place(pid: Number, *names: Number) -> Path:
    """Return where a process's directory is, or something in it."""
    return Path("/proc", *map(str, (pid, *names)))


def read(pid: Number, name: str) -> bytes:
    """Return a whole file, without a byte changed. Raises OSError."""
    # Read a hundred times a second: half of the time would be pathlib's.
    file = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(file, PIECE_BYTES):
            pieces.append(piece)
    finally:
        os.close(file)
    return b"".join(pieces)


def read_or_nothing(pid: Number, name: str) -> bytes:
    """Return a whole file; empty where it can't be read: for the process's end, too."""
    try:
        return read(pid, name)
    except OSError:
        return b""


def is_there(pid: Number) -> bool:
    """Tell whether there is such a process or thread (a zombie is)."""
    return place(pid).exists()


def processes() -> list[int]:
    """Return the numbers of all processes that we may see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def threads_of(pid: Number) -> list[int]:
    """Return the numbers of a process's threads, rising. Raises OSError."""
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


def threads_if_any(pid: Number) -> list[int]:
    """Return the numbers of a process's threads, rising; empty for one that has ended."""
    try:
        return threads_of(pid)
    except OSError:
        return []


def status_of(pid: Number) -> dict[str, str]:
    """Return the fields of ``status``, of a thread by its number, too; empty for one that has ended."""
    return status_fields(read_or_nothing(pid, "status"))


def stat_of(pid: Number, thread: Number | None = None) -> list[str]:
    """Return the fields of ``stat`` from the state on (proc_pid_stat(5)); empty for one that has ended."""
    try:
        return stat_fields(read(pid, "stat" if thread is None else f"task/{thread}/stat"))[1]
    except (OSError, ValueError):
        return []


def name_of(pid: Number, thread: Number | None = None) -> bytes:
    """Return the name of a process or of one of its threads; empty for one that has ended."""
    return comm_name(read_or_nothing(pid, "comm" if thread is None else f"task/{thread}/comm"))
