"""Which other processes map the same file, and how much of it each has in its page tables."""

from __future__ import annotations

import os
from dataclasses import dataclass

from llamactl.process import proc_pid
from llamactl.process.files.holders import process_name
from llamactl.process.memory.smaps import parse_smaps


@dataclass(frozen=True, slots=True)
class Sharer:
    """Another process with the file mapped; ``resident_bytes`` is None where it may not be read."""

    pid: int
    name: str
    resident_bytes: int | None


def find_sharers(pid: int, device: str, inode: int) -> list[Sharer]:
    """Return the other processes that map the file; those whose mappings we may not see are missing.

    Args:
        pid: The process that is left out.
        device: ``major:minor`` in hexadecimal, as in ``maps``.
        inode: The file's.
    """
    mark = f" {device} {inode} ".encode()
    return [
        _sharer(other, device, inode) for other in proc_pid.processes() if other != pid and _maps(other, mark)
    ]


def mapped_by(device: int, inode: int) -> list[int]:
    """Return the processes, this one left out, that map a file; those we may not look into are missing.

    Args:
        device: ``st_dev`` of the file.
        inode: ``st_ino``.
    """
    mark = f" {os.major(device):02x}:{os.minor(device):02x} {inode} ".encode()
    return [pid for pid in proc_pid.processes() if pid != os.getpid() and _maps(pid, mark)]


def _maps(pid: int, mark: bytes) -> bool:
    return mark in proc_pid.read_or_nothing(pid, "maps")


def _sharer(pid: int, device: str, inode: int) -> Sharer:
    try:
        maps = parse_smaps(proc_pid.read(pid, "smaps"))
    except OSError:
        return Sharer(pid, process_name(pid), None)
    resident = sum(
        size
        for size, its_device, its_inode in zip(maps.measures[b"Rss"], maps.device, maps.inode, strict=True)
        if (its_device, its_inode) == (device, inode)
    )
    return Sharer(pid, process_name(pid), resident)
