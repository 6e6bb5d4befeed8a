"""Where to look: the real machine, or a tree and a driver library that a test has made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamactl.process.small_files import read_text


@dataclass(frozen=True, slots=True)
class System:
    """The machine that is looked at.

    Attributes:
        root: Holds ``proc``, ``sys``, ``dev`` and ``usr``.
        nvml: An object with the functions of NVML (``pynvml``); None to import the real one.
        library_path: Folders searched for driver libraries before the system's own.
    """

    root: Path = Path("/")
    nvml: Any = None
    library_path: tuple[str, ...] = field(
        default_factory=lambda: tuple(filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":")))
    )

    def path(self, name: str) -> Path:
        """Return an absolute path of the machine, below ``root``."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str | None:
        """Return the text of a small file without the white space around it, None if it can't be read."""
        return read_text(self.path(name))

    def listing(self, name: str) -> list[Path]:
        """Return what a folder holds, sorted; nothing if it can't be read."""
        try:
            return sorted(self.path(name).iterdir())
        except OSError:
            return []
