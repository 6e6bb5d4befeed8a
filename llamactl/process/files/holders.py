"""Who holds the other end: which processes have a pipe or a socket open, by its inode."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from llamactl.process import proc_pid


@dataclass(frozen=True, slots=True)
class Holder:
    """A descriptor of a process, and whether it can read and write."""

    pid: int
    fd: int
    reads: bool
    writes: bool


def find_holders(targets: Iterable[str], without: int | None = None) -> dict[str, list[Holder]]:
    """Return for each link text (``pipe:[123]``) the descriptors that have it open.

    Args:
        targets: The texts.
        without: Number of a process that isn't searched, because its files are known; None searches all.

    Processes whose files we may not list are left out, so an empty answer is not a proof.
    """
    wanted = set(targets)
    found: dict[str, list[Holder]] = {}
    if not wanted:
        return found
    for pid in proc_pid.processes():
        if pid != without:
            _search(pid, wanted, found)
    return found


def _search(pid: int, wanted: set[str], found: dict[str, list[Holder]]) -> None:
    directory = str(proc_pid.place(pid, "fd"))
    try:
        numbers = os.listdir(directory)
    except OSError:  # ended, or another user's
        return
    for number in numbers:
        target = _target(f"{directory}/{number}")
        if target in wanted and (mode := _mode(f"{directory}/{number}")):
            holder = Holder(pid, int(number), bool(mode & stat.S_IRUSR), bool(mode & stat.S_IWUSR))
            found.setdefault(target, []).append(holder)


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115
    except OSError:  # closed in the meantime
        return ""


def _mode(link: str) -> int:
    """Return the permissions of the link, which show for what the descriptor is open."""
    try:
        return os.lstat(link).st_mode
    except OSError:
        return 0


def process_name(pid: int) -> str:
    """Return a process's short name, or an empty text when it has ended."""
    return os.fsdecode(proc_pid.name_of(pid))
