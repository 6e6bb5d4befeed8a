"""The capabilities of this process that llamactl cares for (capabilities(7))."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from llamactl.process.proc_text import status_fields
from llamactl.process.small_files import read_bytes

NUMBERS: Final = {"CAP_IPC_LOCK": 14, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38}
"""Bits of the sets in /proc/PID/status (include/uapi/linux/capability.h)."""


def status_field(root: Path, key: str) -> str | None:
    """Return a field of this process's ``/proc/PID/status``, None if it isn't there."""
    return status_fields(read_bytes(root / "proc/self/status")).get(key)


def capabilities(root: Path = Path("/")) -> frozenset[str]:
    """Return those of :data:`NUMBERS` that are in force."""
    held = int(status_field(root, "CapEff") or "0", 16)
    return frozenset(name for name, bit in NUMBERS.items() if held >> bit & 1)
