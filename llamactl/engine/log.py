"""The engine's log goes to :mod:`logging`, under ``llamactl.engine``, never to the terminal by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llamactl.engine.native import ffi, lib, text

if TYPE_CHECKING:
    from llamactl.engine._engine import CData

LOGGER = logging.getLogger("llamactl.engine")
LOGGER.addHandler(logging.NullHandler())

_LEVELS = {
    lib.GGML_LOG_LEVEL_DEBUG: logging.DEBUG,
    lib.GGML_LOG_LEVEL_INFO: logging.INFO,
    lib.GGML_LOG_LEVEL_WARN: logging.WARNING,
    lib.GGML_LOG_LEVEL_ERROR: logging.ERROR,
}


class _Lines:
    """Puts the engine's pieces together into lines: a line may come in several calls."""

    def __init__(self) -> None:
        self.listeners: list[list[tuple[int, str]]] = []
        self._level = logging.INFO
        self._partial = ""

    def add(self, level: int, piece: str) -> None:
        if level != lib.GGML_LOG_LEVEL_CONT:
            self._level = _LEVELS.get(level, logging.INFO)
        *whole, self._partial = (self._partial + piece).split("\n")
        for line in whole:
            self._emit(line.rstrip())

    def _emit(self, line: str) -> None:
        if not line.strip("."):
            return
        for listener in self.listeners:
            listener.append((self._level, line))
        LOGGER.log(self._level, "%s", line)


_LINES = _Lines()


@ffi.def_extern(name="llamactl_py_log")
def _on_log(level: int, piece: CData) -> None:
    _LINES.add(level, text(piece))


@contextmanager
def captured() -> Iterator[list[tuple[int, str]]]:
    """Collect the lines that the engine logs inside the block.

    Yields:
        A list of ``(logging level, line)``, which grows as the engine logs.
    """
    lines: list[tuple[int, str]] = []
    _LINES.listeners.append(lines)
    try:
        yield lines
    finally:
        # By identity: two captures may hold equal lines.
        _LINES.listeners[:] = [listener for listener in _LINES.listeners if listener is not lines]


def last_error(lines: list[tuple[int, str]]) -> str:
    """Return the first error among captured lines, without the function name before it; ``""`` if none."""
    for level, line in lines:
        if level >= logging.ERROR:
            head, colon, rest = line.partition(": ")
            return rest if colon and " " not in head else line
    return ""
