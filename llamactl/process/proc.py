"""One process, held by a descriptor of its directory in /proc, and what couldn't be read."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from llamactl.errors import UsageError
from llamactl.process.answering import NOWHERE, answers
from llamactl.process.proc_pid import place
from llamactl.process.reach import mapped_file, within_root


@dataclass(frozen=True, slots=True)
class Note:
    """Something that couldn't be read, and why: one line of the answer."""

    section: str
    message: str


@dataclass(slots=True)
class ProcessDir:
    """An open ``/proc/PID``.

    The descriptor stays bound to the process it was opened for: when that ends and its number is
    given to another one, every read through it fails instead of telling about a stranger.
    """

    pid: int
    descriptor: int
    notes: list[Note] = field(default_factory=list)

    @classmethod
    def open(cls, pid: int) -> ProcessDir:
        """Open ``/proc/PID``.

        Raises:
            UsageError: There is no process with this number.
        """
        try:
            return cls(pid, os.open(place(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise UsageError(f"no process has the number {pid}", "See them with: ps -e") from error

    def __enter__(self) -> ProcessDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def read(self, name: str) -> bytes:
        """Return the bytes of ``/proc/PID/name``. Raises OSError."""
        with io.FileIO(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.descriptor)) as file:
            return file.readall()

    def text(self, name: str) -> str:
        """Return ``/proc/PID/name`` as text; bytes that aren't UTF-8 become lone surrogates."""
        return os.fsdecode(self.read(name))

    def link(self, name: str) -> str:
        """Return where ``/proc/PID/name`` points. Raises OSError."""
        return os.readlink(name, dir_fd=self.descriptor)

    def list(self, name: str) -> list[str]:
        """Return the names in ``/proc/PID/name``. Raises OSError."""
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def path(self, path: str) -> Path:
        """Return where a path can be read by us, that the process or the kernel told of the process.

        Of a process in a chroot the kernel's paths begin with that chroot (see ``reach``). Where the file system
        doesn't answer, nothing is there.
        """
        own = place(self.pid, "root", path.lstrip("/"))
        if not answers(own):
            return NOWHERE
        try:
            inside = within_root(path, self.link("root"))
        except OSError:
            return own
        return own if inside == path or own.exists() else place(self.pid, "root", inside.lstrip("/"))

    def mapped(self, path: str, device: str, inode: int, piece: tuple[int, int]) -> Path | None:
        """Return where a file that it has mapped can be read by us, see :func:`reach.mapped_file`."""
        found = mapped_file(place(self.pid), path, device, inode, piece)
        return None if found is None else Path(found)

    def alive(self) -> bool:
        """Tell whether the process still exists (a zombie does)."""
        try:
            return bool(self.read("stat"))
        except OSError:
            return False

    def refuse(self, section: str, error: OSError, what: str) -> None:
        """Note that ``what`` couldn't be read; a process that has ended is noted once, by the caller."""
        if isinstance(error, PermissionError):
            self.notes.append(Note(section, f"{what}: permission denied; {_more_rights()}"))
        elif not isinstance(error, (ProcessLookupError, FileNotFoundError)):
            self.notes.append(Note(section, f"{what}: {error.strerror}"))


def _more_rights() -> str:
    if os.geteuid():
        return "run as its user or as root"
    return "root needs CAP_SYS_PTRACE here (in a container: --cap-add SYS_PTRACE)"
