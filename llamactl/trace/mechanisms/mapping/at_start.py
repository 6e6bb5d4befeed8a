"""What a program that ran already had when recording began: its open files and its mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llamactl.trace.capture.record import CURRENT_DIRECTORY, Kind
from llamactl.trace.mechanisms.mapping.mapping_rows import MappingRow
from llamactl.trace.mechanisms.names import NO_NAME, Names
from llamactl.trace.mechanisms.view import View


class AtStart:
    """Collects what the recorder looked up of a program that it attached to.

    Args:
        names: Numbers of names.
        metadata: The capture's.
    """

    def __init__(self, names: Names, metadata: Mapping[str, Any]) -> None:
        self.attached = bool(metadata.get("attached"))
        self._names = names
        self._open: dict[int, int] = {}
        looked = (metadata.get("recorded") or {}).get("looked_ns")
        self._looked_ns = int(looked) if self.attached and looked else None

    def add(self, view: View) -> None:
        """Take the FD records of a piece."""
        if not self.attached:
            return
        records = view.of_kind(Kind.FD)
        files = records[records["nr"] != CURRENT_DIRECTORY]
        for number in self._names.numbers(files["text"]).tolist():
            if number != NO_NAME:
                self._open[number] = self._open.get(number, 0) + 1

    def open_files(self) -> dict[bytes, int]:
        """Return how many descriptors each file had; empty for a program that was started."""
        return {self._names.name(number): count for number, count in self._open.items()}

    def mapped(self, rows: list[MappingRow], begin_ns: int) -> list[MappingRow]:
        """Return the mappings that were there: no call made them while it was recorded."""
        if self._looked_ns is None:
            return []
        looked_s = (self._looked_ns - begin_ns) / 1e9
        return [row for row in rows if row.made_in_ns is None and row.begin_s <= looked_s]
