"""Where we can read a file that another process has mapped: its path is of its own root, or of ours, or gone.

The kernel writes a path in ``maps`` as the reader sees it (proc_pid_maps(5)). So the file of a process in a
chroot has that chroot in its path already, and a process in a mount namespace of its own has paths of that
namespace. A path alone can also lead to a stranger, so device and inode decide.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from llamactl.process.answering import answered_stat

DELETED = " (deleted)"
"""What the kernel adds to the path of a file without a name (proc_pid_maps(5))."""


def within_root(path: str, root: str) -> str:
    """Return a path as a process with this root directory would say it; both as we see them."""
    plain = root.rstrip("/")
    return path[len(plain) :] if plain and path.startswith(plain + "/") else path


def mapped_file(
    process: Path,
    path: str,
    device: str,
    inode: int,
    piece: tuple[int, int],
    stat: Callable[[str], os.stat_result] = answered_stat,
) -> str | None:
    """Return a path under which the mapped file, and no other, can be opened by us.

    Args:
        process: The process's directory in ``/proc``.
        path: As its ``maps`` has it.
        device: From there, ``major:minor`` in hexadecimal.
        inode: From there.
        piece: Start and end of one of the mappings, for the link in ``map_files``, which only root may follow.
        stat: Asks for a file's identity; raises OSError.

    Returns:
        None where it can't be reached.
    """
    same_number = None
    for candidate in _candidates(process, path):
        try:
            found = stat(candidate)
        except OSError:
            continue
        if found.st_ino != inode:
            continue
        if f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}" == device:
            return candidate
        # Btrfs and overlayfs tell stat(2) of another device than maps.
        same_number = same_number or candidate
    if same_number is not None and not path.endswith(DELETED):
        return same_number
    return _by_address(process, piece, inode, stat)


def _candidates(process: Path, path: str) -> Iterator[str]:
    path = path.removesuffix(DELETED)
    yield f"{process}/root/{path.lstrip('/')}"
    try:
        root = str((process / "root").readlink())
    except OSError:
        root = "/"
    inside = within_root(path, root)
    if inside != path:
        yield f"{process}/root/{inside.lstrip('/')}"
    yield path


def _by_address(
    process: Path, piece: tuple[int, int], inode: int, stat: Callable[[str], os.stat_result]
) -> str | None:
    link = f"{process}/map_files/{piece[0]:x}-{piece[1]:x}"
    try:
        return link if stat(link).st_ino == inode else None
    except OSError:
        return None
