"""A model file inside a wheel on the package index, pinned by hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model file inside a wheel on the package index.

    Attributes:
        requirement: The wheel, pinned.
        wheel_sha256: Its hash.
        member: The file inside it.
        sha256: The hash of that file.
        size_bytes: Its size.
        licence: SPDX name.
    """

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str
    size_bytes: int
    licence: str

    @property
    def file_name(self) -> str:
        """The name of the file itself."""
        return self.member.rpartition("/")[2]


def is_whole(target: Path, model: Packaged) -> bool:
    """Tell whether the file is there: its hash was checked before it got this name, at once or not at all."""
    try:
        return target.stat().st_size == model.size_bytes
    except OSError:
        return False
