"""Asking for somebody's file with a time limit: a file system whose server is gone never answers.

Whoever asks such a file system is held in the kernel, where not even SIGKILL ends him (a FUSE request that was
sent, a hard NFS mount). So a child asks (``native/snapshot/asking.c``) and is given up after :data:`LIMIT_S`. A file
system that didn't answer isn't asked a second time.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.process._proc import ffi, lib
from llamactl.process.files.mounts import Mount, mount_of, mounts_on_way, read_mounts

if TYPE_CHECKING:
    from llamactl.process._proc import llamactl_answer

LIMIT_S = 1.0
"""A file that isn't there after this is said not to answer."""
NOWHERE = Path("/proc/self/comm/not answering")
"""Stands for a path on a file system that doesn't answer: nothing is there, and asking for it never waits."""

KNOWN_S = 1.0
"""A process's mounts are read again after this."""
_LEADS_ELSEWHERE = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EAGAIN, errno.EPERM})
_STREAMS = {"in": "0", "out": "1", "err": "2"}
_PROC = re.compile(r"/proc/(\d+|self)/(root|cwd|exe|fd/\d+|map_files/[0-9a-f-]+)(/.*|)", re.DOTALL)


class NotAnsweringError(OSError):
    """The file system didn't answer in time."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ETIMEDOUT, "its file system doesn't answer", path)


@dataclass(frozen=True, slots=True)
class Answer:
    """What stat(2) tells: sizes in bytes, blocks of 512."""

    mode: int
    size: int
    blocks: int
    device: int
    inode: int
    links: int
    special_device: int


@dataclass(frozen=True, slots=True)
class Silent:
    """A file system that didn't answer; ``child`` is a process of ours that still waits for it, or None."""

    place: str
    kind: str
    child: int | None


def silent_text(silent: Silent) -> str:
    """Return as a sentence what wasn't read, and what of ours is still waiting."""
    text = (
        f"the file system at {silent.place} ({silent.kind}) doesn't answer: what lies on it wasn't looked at"
    )
    if silent.child is None:
        return text
    return f"{text}; process {silent.child} of llamactl's, which asked, ends when it does"


@dataclass(slots=True)
class Asker:
    """Asks through a child, which is started with the first question, and again after each that it was lost with."""

    limit_s: float = LIMIT_S
    silent: dict[str, Silent] = field(default_factory=dict)
    """By device, or by path where the mount isn't known."""
    _known: dict[str, tuple[float, list[Mount]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _socket: int = -1
    _pid: int = 0
    _owner: int = 0

    def ask(self, path: str, *, read: bool = False) -> Answer:
        """Return what a file is.

        Args:
            path: Of the file; symbolic links are followed.
            read: Try to open it and to read a byte, too, if it is a regular file.

        Raises:
            NotAnsweringError: Its file system doesn't answer.
            OSError: As stat(2), open(2) and pread(2).
        """
        path = _for_everyone(path)
        with self._lock:
            mount = self._mount_of(path) if self.silent else None
            if self.silent and (mount.device if mount else path) in self.silent:
                raise NotAnsweringError(path)
            if self._at_hand(path):
                return _answer_at_once(path, read)
            answer = ffi.new("struct llamactl_answer *")
            error = self._asked((b"r" if read else b"s") + os.fsencode(path), answer)
            if error == errno.ETIMEDOUT:
                self._give_up(path)
                raise NotAnsweringError(path)
        error = error or answer.error
        if error:
            raise OSError(error, os.strerror(error), path)
        return Answer(
            answer.mode, answer.size, answer.blocks, answer.device, answer.inode, answer.links,
            answer.special_device,
        )  # fmt: skip

    def _at_hand(self, path: str) -> bool:
        """Tell whether a path leads only over file systems that ask nobody: then no child is needed."""
        found = _PROC.fullmatch(path)
        if found is not None and found[2] != "root":
            return False
        process = found[1] if found else "self"
        inside = (found[3] or "/") if found else path
        if not inside.startswith("/") or "\0" in inside:
            return False
        way = mounts_on_way(inside, self._mounts(process))
        if not way or not all(mount.local for mount in way):
            return False
        place = max(way, key=lambda mount: len(mount.place)).place
        root = f"/proc/{process}/root" if found else ""
        rest = inside[len(place) :].lstrip("/")
        return int(lib.llamactl_stays(os.fsencode(root + place), os.fsencode(rest))) not in _LEADS_ELSEWHERE

    def _mounts(self, process: str) -> list[Mount]:
        """Return the mounts of a process, at most :data:`KNOWN_S` old."""
        now = time.monotonic()
        if process not in self._known or now - self._known[process][0] > KNOWN_S:
            self._known[process] = (now, read_mounts(Path("/proc", process)))
        return self._known[process][1]

    def _mount_of(self, path: str) -> Mount | None:
        """Return the mount of a path, also of one that leads through a process's directory in ``/proc``."""
        found = _PROC.fullmatch(path)
        if found is None:
            return mount_of(path, self._mounts("self"))
        process, link, rest = found[1], found[2], found[3]
        if link == "root":
            return mount_of(rest or "/", self._mounts(process))
        try:
            return mount_of(os.readlink(f"/proc/{process}/{link}") + rest, self._mounts(process))  # noqa: PTH115
        except OSError:
            return None

    def _asked(self, request: bytes, answer: llamactl_answer) -> int:
        for _ in range(2):  # The child may have been ended by somebody.
            if self._owner != os.getpid() or self._socket < 0:
                self._start()
            error = int(
                lib.llamactl_ask(self._socket, request, len(request), round(1000 * self.limit_s), answer)
            )
            if error != errno.EPIPE:
                return error
            self._end()
        return errno.EAGAIN

    def _start(self) -> None:
        pid = ffi.new("int32_t *")
        self._socket = lib.llamactl_asker_start(pid)
        if self._socket < 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        self._pid, self._owner = pid[0], os.getpid()

    def _end(self) -> int | None:
        """Give the child up; return its number where it is still there."""
        stuck = lib.llamactl_asker_end(self._socket, self._pid)
        self._socket = -1
        return self._pid if stuck else None

    def _give_up(self, path: str) -> None:
        child = self._end()
        mount = self._mount_of(path)
        key = mount.device if mount else path
        self.silent[key] = Silent(mount.place if mount else path, mount.kind if mount else "unknown", child)


def _for_everyone(path: str) -> str:
    """Return a path that means in the child what it means here: it has a directory and descriptors of its own."""
    for ours, rest in (("/proc/self/", ""), ("/dev/fd/", "fd/"), ("/dev/std", "fd/")):
        if path.startswith(ours):
            name = path[len(ours) :]
            number = _STREAMS.get(name, name) if ours == "/dev/std" else name
            return f"/proc/{os.getpid()}/{rest}{number}"
    return path if path.startswith("/") else f"{Path.cwd()}/{path}"


def _answer_at_once(path: str, read: bool) -> Answer:
    status = os.stat(path)  # noqa: PTH116 - of a path that may lead through /proc
    if read and not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return Answer(
        status.st_mode, status.st_size, status.st_blocks, status.st_dev, status.st_ino, status.st_nlink,
        status.st_rdev,
    )  # fmt: skip


ASKER = Asker()
"""The one of this process."""


def ask(path: str | Path, *, read: bool = False) -> Answer:
    """Return what a file is, see :meth:`Asker.ask`."""
    return ASKER.ask(str(path), read=read)


def answered_stat(path: str | Path) -> os.stat_result:
    """Return what stat(2) tells, as :meth:`Asker.ask` raises."""
    ask(path)
    return os.stat(path)  # noqa: PTH116 - of a path that may be bound to a descriptor


def answers(path: str | Path) -> bool:
    """Tell whether the file system answers for a path, be it there or not."""
    try:
        ask(path)
    except NotAnsweringError:
        return False
    except OSError:
        return True
    return True
