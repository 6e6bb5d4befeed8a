"""Which installed distribution a file belongs to: what its RECORD says, not what a folder is called.

Source: the specification of installed projects (packaging.python.org, "Recording installed projects").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llamactl.process.answering import NOWHERE, answers

_LEVELS = 12
_RECORD_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution: its name as PEP 503 writes it, its version, the folder its files lie in."""

    name: str
    version: str | None
    place: str


def _here(path: str) -> Path:
    return Path(path) if answers(path) else NOWHERE


def owner_of(path: str, readable: Callable[[str], Path] = _here) -> Distribution | None:
    """Return the distribution that a file was installed by, or None.

    Args:
        path: Absolute, as the process has it.
        readable: Tells where we can read a path of the process's.
    """
    parents = PurePosixPath(path).parents
    for folder in parents[:_LEVELS]:
        place = readable(str(folder))
        inside = path[len(str(folder)) :].lstrip("/")
        for metadata in _metadata(place, inside.partition("/")[0]):
            if _lists(metadata, inside):
                name, version = _identity(metadata)
                return Distribution(name, version, str(folder))
    return None


def _metadata(place: Path, first: str) -> Iterator[Path]:
    """Yield the metadata folders in a folder, the ones named like the file's own top folder first."""
    try:
        found = [entry for entry in place.iterdir() if entry.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return
    wanted = canonical(first.removesuffix(".libs").split(".")[0])
    yield from sorted(found, key=lambda entry: (canonical(_split(entry)[0]) != wanted, entry.name))


def _lists(metadata: Path, inside: str) -> bool:
    """Tell whether the distribution installed this file; without a RECORD, whether it has its top folder."""
    record = _text(metadata / "RECORD")
    if record:
        return f"\n{inside}," in f"\n{record}" or f'\n"{inside}",' in f"\n{record}"
    first = inside.partition("/")[0]
    top = _text(metadata / "top_level.txt").split()
    return bool(first) and (first in top or first.split(".")[0] in top)


def _identity(metadata: Path) -> tuple[str, str | None]:
    text = (_text(metadata / "METADATA") or _text(metadata / "PKG-INFO")).partition("\n\n")[0]
    fields = dict(line.split(": ", 1) for line in reversed(text.splitlines()) if ": " in line)
    name, version = _split(metadata)
    return canonical(fields.get("Name", name).strip()), fields.get("Version", version or "").strip() or None


def _split(metadata: Path) -> tuple[str, str]:
    name, _, version = metadata.name.rpartition(".")[0].partition("-")
    return name, version.partition("-")[0]


def canonical(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_RECORD_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
