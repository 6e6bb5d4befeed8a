"""Which libraries touched a watched address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.capture.record import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STACK_WORDS = slice(2, 6)
MAPS_READ_AT_MOST = 50
LOWEST_ADDRESS = 4096


class Readers:
    """Finds the code that touched an address, and for a leaf such as ``memcpy`` who called it.

    Args:
        maps: The program's mappings; they are read again when an address isn't in them.
    """

    def __init__(self, maps: ProcessMaps) -> None:
        self._maps = maps
        self._reads = 0
        self._names: dict[int, str | None] = {}
        self._references: dict[str, int] = {}

    def resolve(self, records: NDArray[np.void], add: Callable[[bytes], int]) -> None:
        """Give WATCH records the libraries that read, in place: ``text`` and, for a leaf, who called it.

        Args:
            records: Of any kind.
            add: ``CaptureWriter.add_string``.
        """
        for row in np.flatnonzero(records["kind"] == Kind.WATCH).tolist():
            record = records[row]
            reader = self._library(int(record["args"][1]))
            called = next((w for w in record["args"][STACK_WORDS].tolist() if self._library(w)), 0)
            caller = self._library(called)
            record["args"][STACK_WORDS] = 0
            record["args"][2] = called
            record["text"] = self._reference(reader, add)
            record["text2"] = self._reference(caller, add)

    def _reference(self, path: str | None, add: Callable[[bytes], int]) -> int:
        if path is None:
            return 0
        if path not in self._references:
            self._references[path] = add(path.encode("utf-8", "surrogateescape"))
        return self._references[path]

    def _library(self, address: int) -> str | None:
        if address not in self._names:
            self._names[address] = self._look_up(address)
        return self._names[address]

    def _look_up(self, address: int) -> str | None:
        if address < LOWEST_ADDRESS:
            return None
        piece = self._maps.find(address)
        if piece is None and self._reads < MAPS_READ_AT_MOST:
            self._reads += 1
            try:
                self._maps = ProcessMaps(self._maps.pid)
            except LlamactlError:
                return None  # It has ended: what was known before is all there is.
            piece = self._maps.find(address)
        return piece.path if piece is not None and piece.executable else None
