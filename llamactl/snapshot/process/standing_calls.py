"""Calls on descriptors and paths: which of those that wait aren't normal, and who is at the other end."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import cached_property

from llamactl.process.answering import ask
from llamactl.process.files.file_locks import F_OFD_SETLKW, F_SETLKW, lock_holders
from llamactl.process.files.file_roles import RoleFinder
from llamactl.process.files.files import OpenFile, read_files
from llamactl.process.files.holders import Holder, find_holders
from llamactl.process.files.sockets import Socket, read_sockets
from llamactl.process.files.terminals import terminal_readers
from llamactl.process.proc import ProcessDir
from llamactl.process.target_memory import TargetMemory
from llamactl.process.threads.called_with import path_argument, socket_address, watched
from llamactl.process.threads.threads import Reading
from llamactl.process.threads.waiting import PATH_ARGUMENT, READS, WRITES, Wait
from llamactl.snapshot.process.standing_facts import Case, End, process_end

# What ends soon on any file system that answers.
_ON_FILE_SYSTEM = frozenset({
    "fsync", "fdatasync", "close", "ftruncate", "fallocate", "syncfs", "sync", "msync", "fstat", "fstatfs",
    "getdents64", "copy_file_range", "readahead", "fadvise64",
})  # fmt: skip
_AT_FDCWD = 0xFFFFFF9C
_LOCKS = {"flock": None, "fcntl": (F_SETLKW, F_OFD_SETLKW)}
_PAGE_WAITS = ("folio_wait", "wait_on_page", "io_schedule", "filemap", "request_wait", "fuse_", "nfs", "rpc_")


class Calls:
    """Judges calls of one process.

    Args:
        process: The process.
        memory: Its memory, for what a call points to; None where it may not be read.
        alone: It has one thread.
    """

    def __init__(self, process: ProcessDir, memory: TargetMemory | None, alone: bool) -> None:
        self._process = process
        self._memory = memory
        self._alone = alone
        self._files: dict[int, OpenFile | None] = {}

    def cases(self, reading: Reading) -> Iterator[Case]:
        """Yield what is wrong with a thread's wait; nothing for one that is normal."""
        wait = reading.wait
        if wait is None:
            if reading.state == "D" and reading.kernel_place.startswith(_PAGE_WAITS):
                yield Case("page", reading.thread, reading.name, "page fault", "a mapped file")
            return
        found = self._judge(wait, reading.state)
        if found:
            why, target, ends = found
            yield Case(why, reading.thread, reading.name, wait.call, target, ends)

    def _judge(self, wait: Wait, state: str) -> tuple[str, str, tuple[End, ...]] | None:
        if wait.call in PATH_ARGUMENT:
            return self._path(wait)
        if wait.call in _LOCKS and self._locks(wait):
            return self._lock(wait)
        if wait.call in _ON_FILE_SYSTEM:
            return "file", self._name(wait.descriptor), ()
        if wait.call == "connect":
            return self._connect(wait)
        if wait.call in READS and wait.descriptor is not None:
            return self._read(wait.descriptor, state)
        if wait.call in WRITES and wait.descriptor is not None:
            return self._write(wait.descriptor)
        ready = watched(wait, self._memory)
        if len(ready) == 1:
            fd, writes = ready[0]
            return self._write(fd) if writes else self._read(fd, "S")
        if state == "D" and wait.descriptor is not None:
            return "file", self._name(wait.descriptor), ()
        return None

    def _path(self, wait: Wait) -> tuple[str, str, tuple[End, ...]]:
        path = path_argument(wait, self._memory)
        if not path:
            return "file", "a path that can't be read", ()
        if not path.startswith("/"):
            folder = wait.arguments[0] & 0xFFFFFFFF if PATH_ARGUMENT[wait.call] else _AT_FDCWD
            path = f"{self._name(None if folder == _AT_FDCWD else folder) or self._cwd()}/{path}"
        try:
            mode = ask(self._process.path(path)).mode
        except OSError:  # not there for us, or not answering
            return "file", path, ()
        return ("fifo" if stat.S_ISFIFO(mode) else "file"), path, ()

    def _cwd(self) -> str:
        try:
            return self._process.link("cwd").rstrip("/")
        except OSError:
            return ""

    def _locks(self, wait: Wait) -> bool:
        commands = _LOCKS[wait.call]
        return commands is None or (len(wait.arguments) > 1 and wait.arguments[1] in commands)

    def _lock(self, wait: Wait) -> tuple[str, str, tuple[End, ...]]:
        entry = self._file(wait.descriptor)
        if entry is None or entry.device is None or entry.inode is None:
            return "lock", self._name(wait.descriptor), ()
        holders = lock_holders(self._process.pid, entry.device, entry.inode, entry.target)
        ends = tuple(process_end(one.pid, one.fd) for one in holders)
        return "lock", entry.target, ends

    def _read(self, fd: int, state: str) -> tuple[str, str, tuple[End, ...]] | None:
        entry = self._file(fd)
        if entry is None:
            return None
        if entry.kind in ("file", "directory") or (entry.kind == "device" and state == "D"):
            return "file", entry.target, ()
        if entry.kind in ("pipe", "fifo"):
            ends = self._others(entry, writes=True)
            if self._alone and ends and {end.pid for end in ends} == {self._process.pid}:
                return "no-writer", entry.target, self._ends(ends)
        if entry.kind == "socket":
            return self._answer(entry)
        return None

    def _write(self, fd: int) -> tuple[str, str, tuple[End, ...]] | None:
        entry = self._file(fd)
        if entry is None:
            return None
        if entry.kind in ("file", "directory"):
            return "file", entry.target, ()
        if entry.kind in ("pipe", "fifo"):
            return "full", entry.target, self._ends(self._others(entry, writes=False))
        if entry.kind == "socket":
            found = self._sockets.get(entry.inode or 0)
            if found and found.state == "syn-sent":
                return "connecting", found.remote, self._listeners(found.remote)
            return (
                "full",
                _ends_of(found) or entry.target,
                tuple(process_end(p, f) for p, f, _ in entry.peers),
            )
        if entry.role == "terminal":
            return "full", entry.target, self._ends(terminal_readers(entry.target))
        return None

    def _answer(self, entry: OpenFile) -> tuple[str, str, tuple[End, ...]] | None:
        """Tell whether a read of a socket waits for an answer; who serves waits for requests, and that is normal."""
        own = self._sockets.get(entry.inode or 0)
        if own is None or own.state == "listening":
            return None
        if own.state == "syn-sent":
            return "connecting", own.remote, self._listeners(own.remote)
        if own.protocol.startswith("unix"):
            peer = self._sockets.get(own.peer or 0)
            if own.local or peer is None or not peer.local:
                return None
            return "no-answer", f"{own.protocol} {peer.local}", self._peers(entry, peer.local)
        if not own.remote or self._serves(own):
            return None
        return "no-answer", _ends_of(own), self._peers(entry, own.remote)

    def _peers(self, entry: OpenFile, address: str) -> tuple[End, ...]:
        """Return who has the other end; where nobody has taken it yet, who listens there."""
        return tuple(process_end(pid, fd) for pid, fd, _ in entry.peers) or self._listeners(address)

    def _serves(self, own: Socket) -> bool:
        """Tell whether a connection came in: its own port is one that somebody listens on."""
        port = own.local.rpartition(":")[2]
        return any(
            one.state == "listening" and one.local.rpartition(":")[2] == port
            for one in self._sockets.values()
        )

    def _connect(self, wait: Wait) -> tuple[str, str, tuple[End, ...]]:
        entry = self._file(wait.descriptor)
        own = self._sockets.get(entry.inode or 0) if entry else None
        address = socket_address(wait, self._memory) or (own.remote if own else "") or "an unknown address"
        return "connecting", address, self._listeners(address)

    def _listeners(self, address: str) -> tuple[End, ...]:
        """Return who listens at an address of this machine, as far as that can be seen."""
        port = address.rpartition(":")[2]
        places = {address, f"0.0.0.0:{port}", f"[::]:{port}"}
        local = {one.local for one in self._sockets.values()}
        mine = address.startswith(("127.", "[::1]", "/", "@")) or any(
            one.rpartition(":")[0] == address.rpartition(":")[0] for one in local
        )
        found = [one for one in self._sockets.values() if one.state == "listening" and one.local in places]
        targets = [f"socket:[{one.inode}]" for one in found] if mine else []
        return self._ends([end for ends in find_holders(targets).values() for end in ends])

    def _others(self, entry: OpenFile, *, writes: bool) -> list[Holder]:
        """Return the descriptors of a pipe's other end, those of the process itself, too."""
        holders = find_holders([entry.target]).get(entry.target, [])
        own = (self._process.pid, entry.fd)
        return [one for one in holders if (one.pid, one.fd) != own and (one.writes if writes else one.reads)]

    def _ends(self, holders: list[Holder]) -> tuple[End, ...]:
        first = {one.pid: one.fd for one in reversed(holders)}
        return tuple(process_end(pid, fd) for pid, fd in sorted(first.items()))

    def _name(self, fd: int | None) -> str:
        if fd is None:
            return ""
        try:
            return self._process.link(f"fd/{fd}")
        except OSError:  # closed: the number still names it
            return f"fd {fd}"

    def _file(self, fd: int | None) -> OpenFile | None:
        if fd is None:
            return None
        if fd not in self._files:
            roles = RoleFinder(magic=lambda _: b"")
            try:
                self._files[fd] = next(iter(read_files(self._process, roles, only=[fd])), None)
            except OSError:
                self._files[fd] = None
        return self._files[fd]

    @cached_property
    def _sockets(self) -> dict[int, Socket]:
        return read_sockets(self._process)


def _ends_of(found: Socket | None) -> str:
    """Return a socket as text: protocol, and both ends where they are known."""
    if found is None:
        return ""
    ends = f"{found.local} → {found.remote}" if found.remote else found.local
    return f"{found.protocol} {ends}".strip()
