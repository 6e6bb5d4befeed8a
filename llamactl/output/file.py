"""One output file: made beside under a random name, put in place whole, or written to where it is a device."""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from llamactl.errors import UsageError
from llamactl.output.leftovers import hold, sweep
from llamactl.output.place import find_place

if TYPE_CHECKING:
    from llamactl.output.place import Place

MODE = 0o600
"""Outputs tell paths, names and settings: they are for their owner, under any umask."""

_DRAFT = re.compile(r"\.llamactl-[0-9a-f]{24}")

_CANT_BE_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL}
_CANT_BE_BESIDE = {errno.EACCES, errno.EPERM, errno.EROFS}


class OutputFile:
    """A file being written. Until :meth:`publish` the name leads to what it led to before.

    A regular file is replaced: the new one begins without a name (or, where the file system can't do
    that, beside with a random one) and takes the name by rename(2). Where no file may be made beside, a
    file that may be written is emptied and written in place. A device, a pipe or a descriptor is written
    to, never truncated, renamed, removed, nor given another mode.

    Args:
        name: The file.
        keep_mode: A file that is replaced hands on its mode; else the mode is 0600.

    Raises:
        OSError: It can't be written.

    Attributes:
        path: The file itself, behind all links.
        descriptor: Open for writing.
        is_file: Whether it is a regular file.
    """

    def __init__(self, name: str | os.PathLike[str], *, keep_mode: bool = False) -> None:
        place = find_place(name)
        self.path = place.path
        self._draft: str | None = None
        self._folder = -1
        self._waits = False
        self.is_file = place.is_file
        self.descriptor = -1
        if not place.is_file:
            self.descriptor = _existing(place)
            return
        try:
            self._folder = os.open(place.path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._begin(place, keep_mode)
        except BaseException:
            self.discard()
            raise

    def stream(self, mode: str = "w") -> Any:
        """Return a stream that writes here; closing it closes nothing."""
        text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
        return os.fdopen(self.descriptor, mode, closefd=False, **text)

    def publish(self) -> None:
        """Give the file its name, now, with what was written so far; a second time does nothing."""
        if not self._waits:
            return
        if self._draft is None:
            draft = _random_name()
            os.link(f"/proc/self/fd/{self.descriptor}", draft, dst_dir_fd=self._folder, follow_symlinks=True)
            self._draft = draft
        os.rename(self._draft, self.path.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._draft, self._waits = None, False

    def commit(self) -> None:
        """Bring the data to the disk, give the file its name, and close it."""
        if self.descriptor < 0:
            return
        if self.is_file:
            os.fsync(self.descriptor)
            self.publish()
            _sync_folder(self._folder)
        self._close()

    def discard(self) -> None:
        """Close; unless it was published, the name still leads to what it led to before."""
        if self._draft is not None:
            with suppress(OSError):
                os.unlink(self._draft, dir_fd=self._folder)
            self._draft = None
        self._waits = False
        self._close()

    def _begin(self, place: Place, keep_mode: bool) -> None:
        try:
            self.descriptor, self._draft = _new(self._folder)
            self._waits = True
        except OSError as error:
            if place.before is None or error.errno not in _CANT_BE_BESIDE:
                raise
            self.descriptor = _in_place(place)
        before = place.before
        with suppress(PermissionError):
            if before is not None and before.st_uid != os.geteuid() and os.geteuid() == 0:
                os.fchown(self.descriptor, before.st_uid, before.st_gid)
            kept = keep_mode and before is not None
            os.fchmod(self.descriptor, before.st_mode & 0o777 if kept and before is not None else MODE)

    def _close(self) -> None:
        for descriptor in (self.descriptor, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._folder = -1


class OutputText:
    """A text output: put in place when the block ends well, forgotten when it doesn't.

    Args:
        name: The file.
        option: The option that named it, for the message.

    Raises:
        UsageError: It can't be written.

    Attributes:
        folder: The directory that the file lies in, where there is room for it; None for a device or a pipe.
        stream: Takes the text.
    """

    def __init__(self, name: str, option: str = "") -> None:
        try:
            self._file = OutputFile(name)
        except OSError as error:
            what = f"{option} {name}".strip()
            raise UsageError(f"can't write {what}: {error.strerror}", "Give another file.") from error
        self.folder = self._file.path.parent if self._file.is_file else None
        self.stream: TextIOWrapper = self._file.stream()

    def publish(self) -> None:
        """Give the file its name before it is whole, for people who follow it."""
        self._file.publish()

    def __enter__(self) -> OutputText:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.stream.close()
                self._file.commit()
        finally:
            self._file.discard()


def replace_text(name: str | os.PathLike[str], text: str) -> None:
    """Write a file so that readers see the old one or the new one, never a half; an old one's mode is kept.

    Raises:
        OSError: It can't be written.
    """
    file = OutputFile(name, keep_mode=True)
    try:
        with file.stream() as stream:
            stream.write(text)
        file.commit()
    finally:
        file.discard()


def append_text(name: str | os.PathLike[str], text: str) -> None:
    """Append to a file; one that isn't there is made for its owner alone.

    Raises:
        OSError: It can't be written.
    """
    place = find_place(name)
    if place.before is None:
        descriptor = os.open(place.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        os.fchmod(descriptor, MODE)
    else:
        descriptor = _existing(place, os.O_APPEND)
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)


def check_writable(name: str | os.PathLike[str]) -> None:
    """Find out whether an output can be written, leaving everything as it is.

    Raises:
        OSError: It can't.
    """
    if find_place(name).is_file:
        OutputFile(name).discard()


def _new(folder: int) -> tuple[int, str | None]:
    """Return a new file in a directory and its name, None where it has none yet."""
    if os.access("/proc/self/fd", os.X_OK):  # What a file without a name gets its name by: open(2).
        try:
            return os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, MODE, dir_fd=folder), None
        except OSError as error:
            if error.errno not in _CANT_BE_NAMELESS:
                raise
    sweep(f"/proc/self/fd/{folder}", _DRAFT)
    draft = _random_name()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, MODE, dir_fd=folder)
    hold(descriptor)
    return descriptor, draft


def _random_name() -> str:
    return f".llamactl-{os.urandom(12).hex()}"


def _existing(place: Place, more: int = 0) -> int:
    """Open what is there as it is, unless it has become something else since it was looked at."""
    if place.descriptor is not None:
        return os.dup(place.descriptor)
    descriptor = os.open(place.path, os.O_WRONLY | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC | more)
    found, before = os.fstat(descriptor), place.before
    if before is None or (found.st_dev, found.st_ino) != (before.st_dev, before.st_ino):
        os.close(descriptor)
        raise OSError(errno.EBUSY, "it was replaced while it was opened")
    return descriptor


def _in_place(place: Place) -> int:
    descriptor = _existing(place)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.ftruncate(descriptor, 0)
    return descriptor


def _sync_folder(folder: int) -> None:
    """Make a rename last; a file system that can't promise it, or a folder without read rights, may not."""
    with suppress(OSError):
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
