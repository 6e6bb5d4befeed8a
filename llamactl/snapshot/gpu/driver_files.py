"""The files through which a process talks to a GPU driver: open and mapped."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from llamactl.process.proc_text import maps_lines
from llamactl.process.small_files import read_bytes
from llamactl.snapshot.gpu.system import System

DRIVER_FILE: Final = re.compile(r"/dev/(?:nvidia[^/]*(?:/.*)?|kfd|dri/.+|dxg)")


@dataclass(frozen=True, slots=True)
class DriverFile:
    """One driver file of a process.

    Attributes:
        path: Such as ``/dev/nvidia0``.
        descriptors: Of the process, open on it.
        mapped_bytes: Addresses mapped from it.
    """

    path: str
    descriptors: tuple[int, ...]
    mapped_bytes: int


def is_driver_file(path: str) -> bool:
    """Tell whether a path is a GPU driver's device file."""
    return DRIVER_FILE.fullmatch(path) is not None


def nodes(system: System) -> tuple[str, ...]:
    """Return the device files of GPU drivers that are there."""
    found = [f"/dev/{path.name}" for path in system.listing("dev")]
    found += [f"/dev/dri/{path.name}" for path in system.listing("dev/dri")]
    return tuple(path for path in found if is_driver_file(path) and not path.endswith("/by-path"))


def driver_files(pid: int, system: System | None = None) -> tuple[DriverFile, ...]:
    """Return the driver files that a process has open or mapped; what can't be read counts as none."""
    system = system or System()
    descriptors: dict[str, list[int]] = {}
    for link in system.listing(f"proc/{pid}/fd"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if is_driver_file(target):
            descriptors.setdefault(target, []).append(int(link.name))
    mapped: dict[str, int] = {}
    for line in maps_lines(read_bytes(system.path(f"proc/{pid}/maps"))):
        path = os.fsdecode(line.path)
        if is_driver_file(path):
            mapped[path] = mapped.get(path, 0) + line.end - line.start
    return tuple(
        DriverFile(path, tuple(sorted(descriptors.get(path, ()))), mapped.get(path, 0))
        for path in sorted({*descriptors, *mapped})
    )
