"""The open files of a process: what each descriptor is, where it stands, and what it is for."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from llamactl.snapshot.process.file_roles import RoleFinder
from llamactl.snapshot.process.holders import Holder, find_holders, process_name
from llamactl.snapshot.process.proc import ProcessDir
from llamactl.snapshot.process.sockets import Socket, read_sockets

_DELETED = " (deleted)"
# The texts of anonymous inodes that have a better-known name; the others keep their own.
_ANONYMOUS = {"eventpoll": "epoll", "bpf-prog": "bpf", "bpf-map": "bpf", "perf_event": "perf event"}
_INFO_BYTES = 4096  # the first lines are all that is needed; an epoll's list of files can be long
_PEERED = ("pipe", "socket")


class OpenFile(NamedTuple):
    """One descriptor. A named tuple and not a dataclass: there can be tens of thousands of them.

    ``mode`` is ``r``, ``w``, ``rw`` or ``path``, with ``a`` for append; ``size_bytes`` and
    ``disk_bytes`` (what it takes on the disk or in memory) are None for what has no size;
    ``peers`` are the (process, fd, name) at the other end, as far as we may see them.
    """

    fd: int
    kind: str
    mode: str
    offset: int | None
    size_bytes: int | None
    disk_bytes: int | None
    deleted: bool
    target: str
    role: str
    detail: str
    device: int | None
    inode: int | None
    peers: tuple[tuple[int, int, str], ...]


def read_files(process: ProcessDir, roles: RoleFinder) -> list[OpenFile]:
    """Return the open files by number.

    Raises:
        OSError: The list of descriptors can't be read.
    """
    numbers = sorted(map(int, process.list("fd")))
    links = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.descriptor)
    infos = os.open("fdinfo", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.descriptor)
    try:
        files = [entry for fd in numbers if (entry := _read_one(links, infos, fd, roles))]
    finally:
        os.close(links)
        os.close(infos)
    return _with_ends(process, files, roles)


def _read_one(links: int, infos: int, fd: int, roles: RoleFinder) -> OpenFile | None:
    name = str(fd)
    try:
        target = os.readlink(name, dir_fd=links)
        # Not through a helper or a file object: this runs for each of tens of thousands of descriptors.
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=infos)
        info = os.read(descriptor, _INFO_BYTES)
        os.close(descriptor)
        status = os.stat(name, dir_fd=links) if target[:1] == "/" else None
    except OSError:  # closed since the list was read
        return None
    offset, mode = _position_and_mode(info)
    if status is None:
        kind, detail = _anonymous(target, info)
        return OpenFile(fd, kind, mode, None, None, None, False, target, "", detail, None, _inode(target), ())
    return _on_file_system((fd, mode), target, offset, status, roles)


def _position_and_mode(info: bytes) -> tuple[int, str]:
    """Read the first two lines, ``pos:`` and ``flags:`` (octal), of proc_pid_fdinfo(5)."""
    position, flags_line, _ = info.split(b"\n", 2)
    flags = int(flags_line[6:], 8)
    if flags & os.O_PATH:
        return int(position[4:]), "path"
    mode = ("r", "w", "rw", "rw")[flags & os.O_ACCMODE]
    return int(position[4:]), mode + "a" if flags & os.O_APPEND else mode


def _inode(target: str) -> int | None:
    inside = target.rpartition("[")[2].rstrip("]")
    return int(inside) if inside.isdigit() else None


def _anonymous(target: str, info: bytes) -> tuple[str, str]:
    kind, _, rest = target.partition(":")
    if kind in _PEERED:
        return kind, ""
    name = rest.strip("[]")
    return _ANONYMOUS.get(name, name or kind), _anonymous_detail(name, info)


def _anonymous_detail(name: str, info: bytes) -> str:
    if name == "eventpoll":
        return f"watches {info.count(b'tfd:')}" if len(info) < _INFO_BYTES else ""
    if name == "eventfd":
        return f"count {_field(info, b'eventfd-count:')}"
    return f"process {_field(info, b'Pid:')}" if name == "pidfd" else ""


def _field(info: bytes, name: bytes) -> str:
    found = (line[len(name) :] for line in info.split(b"\n") if line.startswith(name))
    return next(found, b"?").strip().decode()


def _on_file_system(
    place: tuple[int, str], target: str, offset: int, status: os.stat_result, roles: RoleFinder
) -> OpenFile:
    fd, mode = place
    kind = _kind(status.st_mode)
    deleted = status.st_nlink == 0 and target.endswith(_DELETED)
    if deleted:
        target = target[: -len(_DELETED)]
    if deleted and target.startswith("/memfd:"):
        kind, target = "memfd", target[1:]
    regular = kind in ("file", "memfd")
    return OpenFile(
        fd, kind, mode, offset if regular else None,
        status.st_size if regular else None, status.st_blocks * 512 if regular else None,
        deleted, target, roles.open_file(fd, kind, mode, target, status), _device(status),
        status.st_dev, status.st_ino, (),
    )  # fmt: skip


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "device"
    return "fifo" if stat.S_ISFIFO(mode) else "socket"


def _device(status: os.stat_result) -> str:
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return ""
    kind = "character" if stat.S_ISCHR(status.st_mode) else "block"
    return f"{kind} {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _with_ends(process: ProcessDir, files: list[OpenFile], roles: RoleFinder) -> list[OpenFile]:
    """Fill in both ends of sockets and who holds the other end of pipes and local sockets."""
    if not any(entry.kind in _PEERED for entry in files):
        return files
    sockets = read_sockets(process) if any(entry.kind == "socket" for entry in files) else {}
    others = {entry.fd: _other_end(entry, sockets) for entry in files if entry.kind in _PEERED}
    holders = find_holders((text for text in others.values() if text), without=process.pid)
    for entry in files:
        if entry.kind in _PEERED:
            own = Holder(process.pid, entry.fd, "r" in entry.mode, "w" in entry.mode)
            holders.setdefault(entry.target, []).append(own)
    return [
        _ended(process.pid, entry, sockets, holders.get(others[entry.fd], []), roles)
        if entry.fd in others
        else entry
        for entry in files
    ]


def _other_end(entry: OpenFile, sockets: dict[int, Socket]) -> str:
    if entry.kind == "pipe":
        return entry.target
    found = sockets.get(entry.inode or 0)
    return f"socket:[{found.peer}]" if found and found.peer else ""


def _ended(
    pid: int,
    entry: OpenFile,
    sockets: dict[int, Socket],
    holders: Iterable[Holder],
    roles: RoleFinder,
) -> OpenFile:
    others = [end for end in holders if entry.kind == "socket" or _opposite(pid, entry, end)]
    peers = tuple((end.pid, end.fd, process_name(end.pid)) for end in others)
    found = sockets.get(entry.inode or 0)
    if found is None:
        return entry._replace(peers=peers)
    ends = f"{found.local} → {found.remote}" if found.remote else found.local
    detail = " ".join(filter(None, (found.protocol, ends, found.state)))
    return entry._replace(peers=peers, detail=detail, role=roles.socket(found))


def _opposite(pid: int, entry: OpenFile, end: Holder) -> bool:
    """Tell whether a descriptor of the same pipe is its other end: both ends have one inode."""
    if (end.pid, end.fd) == (pid, entry.fd):
        return False
    return ("r" in entry.mode and end.writes) or ("w" in entry.mode and end.reads)
