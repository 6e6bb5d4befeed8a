"""Files that were looked for and never found: a model, or a library after which the program gave up.

A loader tries one folder after the other, and a library that isn't there may be one that a program can do without. So
a library counts only where it was the last one that was missed by a program that then failed.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llamactl.process.engine.libraries import is_library
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.view import View, codes_of

_OPENS = ("open", "openat", "openat2")
_MODEL = b".gguf"
_LOADERS_OWN = b"ld.so."  # its cache, and what is to be loaded before all else
_MOST_PLACES = 50


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that a process looked for: its name, and where, in the order of the tries."""

    pid: int
    name: bytes
    places: tuple[bytes, ...]


class MissingTable:
    """Follows opens piece by piece."""

    def __init__(self, names: Names, metadata: Mapping[str, Any]) -> None:
        self._names = names
        self._failed = metadata.get("exit_code") not in (None, 0)
        self._opens = codes_of(_OPENS)
        self._wanted: dict[tuple[int, bytes], list[bytes]] = {}

    def add(self, view: View, resolved: NDArray[np.int64]) -> None:
        """Look at the opens of a piece; ``resolved`` are their files."""
        rows = np.flatnonzero(self._opens[view.code] & view.finished & (resolved != NO_NAME))
        numbers, where = np.unique(resolved[rows], return_inverse=True)
        wanted = np.array([_wanted(self._names.name(number)) for number in numbers.tolist()], dtype=bool)
        for row in rows[wanted[where]].tolist() if len(rows) else ():
            path, pid = self._names.name(int(resolved[row])), int(view.pid[row])
            key = (pid, path.rpartition(b"/")[2])
            if int(view.ret[row]) >= 0:
                self._wanted.pop(key, None)
            elif int(view.ret[row]) == -errno.ENOENT:
                places = self._wanted.pop(key, [])  # So that the one missed last comes last.
                self._wanted[key] = (
                    places if path in places or len(places) >= _MOST_PLACES else [*places, path]
                )

    def rows(self) -> list[Missing]:
        """Return what was never found and mattered."""
        found = [Missing(pid, name, tuple(places)) for (pid, name), places in self._wanted.items()]
        models = [row for row in found if row.name.endswith(_MODEL)]
        libraries = [row for row in found if not row.name.endswith(_MODEL)]
        return models + (libraries[-1:] if self._failed and not models else [])


def _wanted(path: bytes) -> bool:
    name = path.rpartition(b"/")[2]
    if name.startswith(_LOADERS_OWN):
        return False
    return name.endswith(_MODEL) or is_library(name.decode("utf-8", "surrogateescape"))
