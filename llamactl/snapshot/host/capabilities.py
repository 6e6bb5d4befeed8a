"""The capabilities of this process that llamactl cares for (capabilities(7))."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from llamactl.snapshot.small_files import read_text

NUMBERS: Final = {"CAP_IPC_LOCK": 14, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38}
"""Bits of the sets in /proc/PID/status (include/uapi/linux/capability.h)."""


def status_field(root: Path, key: str) -> str | None:
    """Return a field of this process's ``/proc/PID/status``, None if it isn't there."""
    for line in (read_text(root / "proc/self/status") or "").splitlines():
        if line.startswith(f"{key}:"):
            return line.partition(":")[2].strip()
    return None


def capabilities(root: Path = Path("/")) -> frozenset[str]:
    """Return those of :data:`NUMBERS` that are in force."""
    held = int(status_field(root, "CapEff") or "0", 16)
    return frozenset(name for name, bit in NUMBERS.items() if held >> bit & 1)
