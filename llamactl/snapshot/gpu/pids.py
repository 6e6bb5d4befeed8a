"""The driver's process numbers, which are the host's, in the numbers of this PID namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from llamactl.process.proc_text import status_fields
from llamactl.process.small_files import read_bytes
from llamactl.snapshot.gpu.system import System

INITIAL_NAMESPACE: Final = "pid:[4026531836]"
"""PROC_PID_INIT_INO of include/linux/proc_ns.h: the namespace that the host's numbers count in."""


class PidMap:
    """Translates, with ``NSpid`` of ``/proc/PID/status`` (proc_pid_status(5)) as the evidence.

    In the host's own namespace the numbers are the same. In a container they can be told only where the
    host's ``/proc`` is mounted; elsewhere the answer is None.
    """

    def __init__(self, system: System) -> None:
        self._own = _namespace(system.path("proc/self"))
        self._inner: dict[int, int] = {}
        if self.in_container:
            self._inner = dict(filter(None, (self._pair(folder) for folder in system.listing("proc"))))

    @property
    def in_container(self) -> bool:
        """True if this process counts otherwise than the driver."""
        return self._own is not None and self._own != INITIAL_NAMESPACE

    def own(self, driver_pid: int) -> int | None:
        """Return the number that this process knows the driver's process by, None if that can't be told."""
        return self._inner.get(driver_pid) if self.in_container else driver_pid

    def _pair(self, folder: Path) -> tuple[int, int] | None:
        """Return (number on the host, number here) of a process of this namespace seen from outside."""
        if not folder.name.isdigit() or _namespace(folder) != self._own:
            return None
        fields = status_fields(read_bytes(folder / "status"))
        numbers = [int(number) for number in fields.get("NSpid", "").split()]
        return (numbers[0], numbers[-1]) if len(numbers) > 1 else None


def _namespace(folder: Path) -> str | None:
    try:
        return str((folder / "ns/pid").readlink())
    except OSError:
        return None
