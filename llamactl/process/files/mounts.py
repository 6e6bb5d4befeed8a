"""The mounts that a process sees, as the kernel lists them: no file system is asked for that.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llamactl.process.proc_text import proc_lines

# What lies in this machine's memory, or keeps an open file's attributes there.
_LOCAL = frozenset({
    "autofs", "binfmt_misc", "bpf", "btrfs", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
    "efivarfs", "ext2", "ext3", "ext4", "f2fs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore",
    "ramfs", "rootfs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "xfs",
})  # fmt: skip

_MEMORY = frozenset({"devtmpfs", "hugetlbfs", "ramfs", "rootfs", "tmpfs"})
_SWAPPABLE = frozenset({"devtmpfs", "tmpfs"})


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What a file lies on.

    Attributes:
        kind: Such as ``ext4``.
        in_memory: Whether its files lie in memory and nowhere else, so that no page of them can be dropped.
        swappable: Whether such pages can be swapped out.
    """

    kind: str
    in_memory: bool
    swappable: bool


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its number, ``major:minor`` of its file system, where it is, of what kind and with which options.

    ``options`` are those of the mount and of its file system.
    """

    number: int
    device: str
    place: str
    kind: str
    options: frozenset[str]

    @property
    def local(self) -> bool:
        """Whether asking for an open file's attributes asks nobody outside of this machine's memory."""
        return self.kind in _LOCAL


def read_mounts(process: Path) -> list[Mount]:
    """Return the mounts of a process, those mounted later last; empty where they may not be read.

    Args:
        process: Its directory in ``/proc``.
    """
    try:
        lines = proc_lines((process / "mountinfo").read_bytes())
    except OSError:
        return []
    return [mount for line in lines if (mount := _mount(line))]


def _mount(line: str) -> Mount | None:
    before, dash, after = line.partition(" - ")
    part, rest = before.split(" "), after.split(" ")
    if not dash or len(part) < 6 or len(rest) < 3 or not part[0].isdigit():
        return None
    options = frozenset(part[5].split(",")) | frozenset(rest[2].split(","))
    return Mount(int(part[0]), part[2], _unescaped(part[4]), rest[0], options)


def _unescaped(text: str) -> str:
    r"""Return a path as it is: the kernel writes space, tab, newline and backslash as ``\040`` and so on."""
    for code, letter in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, letter)
    return text


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """Return the mount that a path without symbolic links lies on: the last of those with the longest place."""
    return max(mounts_on_way(path, mounts), key=lambda mount: len(mount.place), default=None)


def mounts_on_way(path: str, mounts: Sequence[Mount]) -> list[Mount]:
    """Return the mounts that following such a path leads through, the latest first."""
    return [
        mount
        for mount in reversed(mounts)
        if mount.place in ("/", path) or path.startswith(mount.place + "/")
    ]


def file_system_of(path: str, process: Path, device: str | None = None) -> FileSystem | None:
    """Return the file system that a file lies on, as a process sees it; None where the kernel doesn't list it.

    Args:
        path: The file, in the process's namespace.
        process: Its directory in ``/proc``.
        device: ``major:minor`` in hexadecimal, as in ``maps``; it counts before the path.
    """
    mounts = read_mounts(process)
    number = ":".join(str(int(part, 16)) for part in device.split(":")) if device else None
    mount = next((one for one in reversed(mounts) if one.device == number), None) or mount_of(path, mounts)
    if mount is None:
        return None
    return FileSystem(mount.kind, mount.kind in _MEMORY, mount.kind in _SWAPPABLE)
