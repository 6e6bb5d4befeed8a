"""Where the name of an output leads, looked at before anything is opened or changed."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

MOST_LINKS = 40
"""As many as Linux follows (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an output goes.

    Attributes:
        path: The file itself, behind all links.
        before: What is there now; None for nothing.
        descriptor: The number, where the name is a descriptor of ours (``/dev/stdout``, ``/dev/fd/3``).
    """

    path: Path
    before: os.stat_result | None = None
    descriptor: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether a regular file is or will be there; only that may be replaced or change its mode."""
        return self.descriptor is None and (self.before is None or stat.S_ISREG(self.before.st_mode))

    @property
    def identity(self) -> tuple[object, ...] | None:
        """What only names of the same file share; None for devices and pipes, which can't be lost."""
        if self.before is None:
            folder = self.path.parent.stat()
            return folder.st_dev, folder.st_ino, self.path.name
        return identity_of(self.before)


def identity_of(found: os.stat_result) -> tuple[object, ...] | None:
    """Return device and inode of a regular file, None for anything else."""
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def find_place(name: str | os.PathLike[str]) -> Place:
    """Return where a name leads, following links as the kernel would with ``protected_symlinks``.

    Nothing is opened. Where anybody may make files, links and files of other users are refused, whatever
    the kernel's settings (proc_sys_fs(5)): somebody planted them to have another file written.

    Raises:
        OSError: The name leads nowhere, to a directory or a socket, or through what another user planted.
    """
    if not os.fspath(name):
        raise FileNotFoundError(errno.ENOENT, "the name is empty")
    path = Path(name)
    for _ in range(MOST_LINKS):
        folder = os.path.realpath(path.parent)
        path = Path(folder, path.name)
        if folder == f"/proc/{_own_number()}/fd" and path.name.isdigit():
            number = int(path.name)
            return Place(path, os.fstat(number), number)
        try:
            found = path.lstat()
        except FileNotFoundError:
            return Place(path)
        _check_owner(path, found)
        if not stat.S_ISLNK(found.st_mode):
            _check_kind(found)
            return Place(path, found)
        path = Path(folder, path.readlink())
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _own_number() -> str:
    """Return this process's number as /proc counts, which may be mounted for another PID namespace."""
    try:
        return str(Path("/proc/self").readlink())
    except OSError:
        return ""


def _check_owner(path: Path, found: os.stat_result) -> None:
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and found.st_uid not in (os.geteuid(), folder.st_uid):
        what = "link" if stat.S_ISLNK(found.st_mode) else "file"
        raise PermissionError(
            errno.EACCES, f"it is a {what} of user {found.st_uid} where anybody may make files"
        )


def _check_kind(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.ENXIO, "it is a socket")
