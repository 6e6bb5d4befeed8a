"""Who holds a lock on a file: flock(2), fcntl(2) and open file description locks.

Sources: proc_locks(5), and the lines ``lock:`` of proc_pid_fdinfo(5), which also find a lock whose taker
has ended while a child keeps its descriptor, and locks of open file descriptions, which have no process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llamactl.process import proc_pid
from llamactl.process.files.holders import find_holders

F_SETLKW, F_OFD_SETLKW = 7, 38
_LOCK = b"lock:"


@dataclass(frozen=True, slots=True)
class LockLine:
    """One lock, or one wait for it (``waits``): those that wait bear the number of the lock they wait for.

    ``pid`` is -1 for a lock of an open file description; ``file`` is ``major:minor:inode``, as the kernel
    writes it.
    """

    number: str
    waits: bool
    kind: str
    access: str
    pid: int
    file: str


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that holds a lock; ``fd`` is None where its descriptor isn't known."""

    pid: int
    fd: int | None


def parse_locks(text: str) -> list[LockLine]:
    """Read ``/proc/locks``; lines that don't look like a lock are left out."""
    found = []
    for line in text.split("\n"):
        part = line.split()
        waits = len(part) > 1 and part[1] == "->"
        part = [part[0], *part[2:]] if waits else part
        if len(part) >= 6 and part[4].lstrip("-").isdigit():
            found.append(LockLine(part[0], waits, part[1], part[3], int(part[4]), part[5]))
    return found


def lock_holders(pid: int, device: int, inode: int, target: str) -> list[LockHolder]:
    """Return who holds the lock that a process waits for on a file; without itself.

    Args:
        pid: The process that waits.
        device: The file's, as in ``st_dev``.
        inode: The file's.
        target: What its descriptor's link says.
    """
    try:
        lines = parse_locks(Path("/proc/locks").read_text(encoding="ascii", errors="replace"))
    except OSError:
        lines = []
    place = _place(device, inode)
    numbers = {line.number for line in lines if line.waits and line.pid in (pid, -1) and line.file == place}
    held = [line for line in lines if not line.waits and line.number in numbers]
    found = [
        LockHolder(holder.pid, holder.fd)
        for holder in find_holders([target]).get(target, [])
        if _holds(holder.pid, holder.fd, held, place)
    ]
    seen = {holder.pid for holder in found}
    known = {line.pid for line in held if line.pid > 0 and proc_pid.is_there(line.pid)}
    return found + [LockHolder(other, None) for other in sorted(known - seen)]


def _place(device: int, inode: int) -> str:
    """Return the file as ``/proc/locks`` names it: the device is written in hexadecimal."""
    major = (device >> 8 & 0xFFF) | (device >> 32 & ~0xFFF)
    minor = (device & 0xFF) | (device >> 12 & ~0xFF)
    return f"{major:02x}:{minor:02x}:{inode}"


def _holds(pid: int, fd: int, held: Iterable[LockLine], place: str) -> bool:
    """Tell whether a descriptor is the one that holds a lock that is waited for."""
    try:
        text = Path(f"/proc/{pid}/fdinfo/{fd}").read_bytes()
    except OSError:
        return False
    own = parse_locks(
        "\n".join(
            line.removeprefix(_LOCK).decode("ascii", "replace").strip()
            for line in text.split(b"\n")
            if line.startswith(_LOCK)
        )
    )
    kinds = {(line.kind, line.access) for line in held}
    return any(not line.waits and line.file == place and (line.kind, line.access) in kinds for line in own)
