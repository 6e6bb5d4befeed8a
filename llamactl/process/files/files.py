"""The open files of a process: what each descriptor is, where it stands, and what it is for."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from llamactl.process import proc_pid
from llamactl.process._proc import ffi, lib
from llamactl.process.answering import NotAnsweringError, ask
from llamactl.process.files.file_roles import RoleFinder
from llamactl.process.files.holders import Holder, find_holders, process_name
from llamactl.process.files.mounts import read_mounts
from llamactl.process.proc import ProcessDir
from llamactl.process.reach import DELETED

if TYPE_CHECKING:
    from llamactl.process.files.sockets import Socket

# The texts of anonymous inodes that have a better-known name; the others keep their own.
_ANONYMOUS = {"eventpoll": "epoll", "bpf-prog": "bpf", "bpf-map": "bpf", "perf_event": "perf event"}
_MODES = ("r", "w", "rw", "rw")
_BATCH = 1024
_TEXT_BYTES = 1 << 20  # the targets of a batch; what doesn't fit comes with the next
_PEERED = ("pipe", "socket")
NOT_ANSWERING = "not answering"
"""The detail of a descriptor whose file system didn't say in time what it is."""


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


def read_files(process: ProcessDir, roles: RoleFinder, only: Collection[int] | None = None) -> list[OpenFile]:
    """Return the open files by number.

    Args:
        process: Whose.
        roles: Finds what they are for.
        only: Just these descriptors, as far as they are open.

    Raises:
        OSError: The list of descriptors can't be read.
    """
    numbers = sorted(map(int, process.list("fd")) if only is None else only)
    links = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.descriptor)
    infos = os.open("fdinfo", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=process.descriptor)
    try:
        files = list(_read_all(process, links, infos, numbers, roles))
    finally:
        os.close(links)
        os.close(infos)
    return _with_ends(process, files, roles, complete=only is None)


class _Status(NamedTuple):
    """What C tells of a descriptor, in the order of the columns in ``snapshot/proc.c``; ``mode`` 0 is not a file."""

    number: int
    position: int
    flags: int
    target_at: int
    target_end: int
    mode: int
    size: int
    blocks: int
    device: int
    inode: int
    links: int
    special_device: int
    not_asked: int


def _read_all(
    process: ProcessDir, links: int, infos: int, numbers: list[int], roles: RoleFinder
) -> Iterator[OpenFile]:
    """Yield the descriptors that are still open; C reads a batch of them at a time (``native/snapshot/proc.c``)."""
    text = ffi.new("char[]", _TEXT_BYTES)
    answering = sorted(mount.number for mount in read_mounts(proc_pid.place(process.pid)) if mount.local)
    while numbers:
        count = min(len(numbers), _BATCH)
        block = ffi.new("int64_t[]", lib.LLAMACTL_DESCRIPTOR_COLUMNS * count)
        done = lib.llamactl_read_descriptors(
            links, infos, numbers[:count], count, answering, len(answering), block, text, _TEXT_BYTES
        )
        columns = (ffi.unpack(block + at * count, done) for at in range(lib.LLAMACTL_DESCRIPTOR_COLUMNS))
        rows = list(map(_Status._make, zip(*columns, strict=True)))
        used = max((row.target_end for row in rows if row.number >= 0), default=0)
        names = ffi.unpack(text, used) if used else b""
        for row in rows:
            if row.number >= 0:
                target = os.fsdecode(names[row.target_at : row.target_end])
                yield from _asked(process, row, target, infos, roles)
        numbers = numbers[done:]


def _asked(
    process: ProcessDir, row: _Status, target: str, infos: int, roles: RoleFinder
) -> Iterator[OpenFile]:
    """Yield a descriptor, after asking its file system with a time limit where that may not answer."""
    if not row.not_asked:
        yield _open_file(row, target, infos, roles)
        return
    try:
        found = ask(proc_pid.place(process.pid, "fd", row.number))
    except NotAnsweringError:
        yield OpenFile(
            row.number,
            "file",
            _mode(row),
            row.position,
            None,
            None,
            False,
            target,
            "",
            NOT_ANSWERING,
            None,
            None,
            (),
        )
        return
    except OSError:  # closed since it was listed
        return
    status = row._replace(
        mode=found.mode, size=found.size, blocks=found.blocks, device=found.device, inode=found.inode,
        links=found.links, special_device=found.special_device,
    )  # fmt: skip
    yield _open_file(status, target, infos, roles)


def _mode(row: _Status) -> str:
    mode = "path" if row.flags & os.O_PATH else _MODES[row.flags & os.O_ACCMODE]
    return mode + ("a" if row.flags & os.O_APPEND else "")


def _open_file(row: _Status, target: str, infos: int, roles: RoleFinder) -> OpenFile:
    mode = _mode(row)
    if row.mode:
        return _on_file_system(row, target, mode, roles)
    kind, detail = _anonymous(target, row.number, infos)
    return OpenFile(
        row.number, kind, mode, None, None, None, False, target, "", detail, None, _inode(target), ()
    )


def _inode(target: str) -> int | None:
    inside = target.rpartition("[")[2].rstrip("]")
    return int(inside) if inside.isdigit() else None


def _anonymous(target: str, number: int, infos: int) -> tuple[str, str]:
    kind, _, rest = target.partition(":")
    if kind in _PEERED:
        return kind, ""
    name = rest.strip("[]")
    detail = _anonymous_detail(name, number, infos) if name in ("eventpoll", "eventfd", "pidfd") else ""
    return _ANONYMOUS.get(name, name or kind), detail


def _anonymous_detail(name: str, number: int, infos: int) -> str:
    try:
        with os.fdopen(os.open(str(number), os.O_RDONLY | os.O_CLOEXEC, dir_fd=infos), "rb") as file:
            info = file.read()
    except OSError:  # closed since it was listed
        return ""
    if name == "eventpoll":
        return f"watches {info.count(b'tfd:')}"
    return (
        f"count {_field(info, b'eventfd-count:')}"
        if name == "eventfd"
        else f"process {_field(info, b'Pid:')}"
    )


def _field(info: bytes, name: bytes) -> str:
    found = (line[len(name) :] for line in info.split(b"\n") if line.startswith(name))
    return next(found, b"?").strip().decode()


def _on_file_system(row: _Status, target: str, mode: str, roles: RoleFinder) -> OpenFile:
    kind = _kind(row.mode)
    deleted = row.links == 0 and target.endswith(DELETED)
    if deleted:
        target = target[: -len(DELETED)]
        if target.startswith("/memfd:"):
            kind, target = "memfd", target[1:]
    if kind not in ("file", "memfd"):
        role = roles.open_file(row.number, kind, mode, target, 0, (0, 0))
        return OpenFile(
            row.number,
            kind,
            mode,
            None,
            None,
            None,
            deleted,
            target,
            role,
            _device(row),
            row.device,
            row.inode,
            (),
        )
    role = roles.open_file(row.number, kind, mode, target, row.size, (row.device, row.inode))
    return OpenFile(
        row.number, kind, mode, row.position, row.size, row.blocks * 512, deleted, target, role, "",
        row.device, row.inode, (),
    )  # fmt: skip


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "device"
    return "fifo" if stat.S_ISFIFO(mode) else "socket"


def _device(row: _Status) -> str:
    if not (stat.S_ISCHR(row.mode) or stat.S_ISBLK(row.mode)):
        return ""
    kind = "character" if stat.S_ISCHR(row.mode) else "block"
    return f"{kind} {os.major(row.special_device)}:{os.minor(row.special_device)}"


def _with_ends(
    process: ProcessDir, files: list[OpenFile], roles: RoleFinder, *, complete: bool
) -> list[OpenFile]:
    """Fill in both ends of sockets and who holds the other end of pipes and local sockets.

    Where ``files`` are all of the process, its descriptors aren't searched a second time.
    """
    if not any(entry.kind in _PEERED for entry in files):
        return files
    sockets: dict[int, Socket] = {}
    if any(entry.kind == "socket" for entry in files):
        # Imported here: it loads Python's socket module, and most processes have no socket.
        from llamactl.process.files.sockets import read_sockets

        sockets = read_sockets(process)
    others = {entry.fd: _other_end(entry, sockets) for entry in files if entry.kind in _PEERED}
    wanted = (text for text in others.values() if text)
    holders = find_holders(wanted, without=process.pid if complete else None)
    for entry in files:
        if complete and entry.kind in _PEERED:
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
