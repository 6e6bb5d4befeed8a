"""Where a process sits in the control groups, and the files that bind it there (cgroups(7), v1 and v2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llamactl.process.proc_text import proc_lines

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy as seen by a process.

    Attributes:
        version: 1 or 2.
        mount: Where it is mounted.
        group: The process's own directory, below ``mount``.
    """

    version: int
    mount: Path
    group: Path

    def upwards(self) -> Iterator[Path]:
        """Yield the process's directory and those above it, up to the mount."""
        here = self.group
        yield here
        while here != self.mount and self.mount in here.parents:
            here = here.parent
            yield here


def hierarchy(controller: str, pid: int | None = None, root: Path = ROOT) -> Hierarchy | None:
    """Return the hierarchy that holds a controller, or ``None`` where none is mounted or something hides it.

    Args:
        controller: Such as ``cpu`` or ``memory``.
        pid: The process; ``None`` for this one.
        root: Where ``/proc`` and ``/sys`` are found, for tests.
    """
    process = root / "proc" / ("self" if pid is None else str(pid))
    paths = _paths(process / "cgroup")
    unified: Hierarchy | None = None
    # Our own mounts: those of a process in a container name directories that we see elsewhere.
    for version, mount_root, mount_point, options in _mounts(root / "proc/self/mountinfo"):
        mount = root / mount_point.lstrip("/")
        if not mount.is_dir():  # Something else is mounted over /sys: no file there isn't "no limit".
            continue
        if version == 1 and controller in options and controller in paths:
            return Hierarchy(1, mount, _below(mount, mount_root, paths[controller]))
        if version == 2 and "" in paths:
            unified = Hierarchy(2, mount, _below(mount, mount_root, paths[""]))
    return unified


def _paths(file: Path) -> dict[str, str]:
    """Return the process's path per controller; the unified hierarchy has the name ``""``."""
    paths: dict[str, str] = {}
    for line in _lines(file):
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def _mounts(file: Path) -> Iterator[tuple[int, str, str, set[str]]]:
    """Yield version, root inside the hierarchy, mount point and options of each mount (proc_pid_mountinfo(5))."""
    for line in _lines(file):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in {"cgroup", "cgroup2"}:
            fields = before.split(" ")
            yield (2 if kind == "cgroup2" else 1), fields[3], fields[4], set(options.split(","))


def _below(mount: Path, mount_root: str, path: str) -> Path:
    """Return the directory of ``path`` where only the part below ``mount_root`` is mounted."""
    if ".." in path.split("/"):  # outside of the process's cgroup namespace (cgroup_namespaces(7))
        return mount
    relative = os.path.relpath(path, mount_root)
    # A path outside of what is mounted, as in a container without its own namespace: the mount is all we see.
    return mount if relative.startswith("..") else mount / relative


def _lines(file: Path) -> list[str]:
    try:
        return proc_lines(file.read_bytes())
    except OSError:
        return []
