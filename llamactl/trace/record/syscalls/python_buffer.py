"""Records made in Python, packed as they lie in a capture, between the recording thread and the poller."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from llamactl.trace.capture.record import RECORD, UNKNOWN_CPU
from llamactl.trace.capture.strings import encode
from llamactl.trace.record.syscalls.base import Batch

ROW = struct.Struct("<BBHHHiiQQq6QII")
LIMIT_BYTES = 32 << 20

assert ROW.size == RECORD.itemsize


class Row(NamedTuple):
    """The fields of a record that this engine fills, in their order but for the texts."""

    kind: int
    flags: int
    nr: int
    arch: int
    tid: int
    pid: int
    start: int
    duration: int = 0
    ret: int = 0
    args: tuple[int, ...] = (0, 0, 0, 0, 0, 0)


@dataclass(slots=True)
class _Content:
    records: bytearray = field(default_factory=bytearray)
    strings: bytearray = field(default_factory=bytearray)
    known: dict[bytes, int] = field(default_factory=dict)

    def reference(self, data: bytes) -> int:
        """Keep a string, once."""
        if not data:
            return 0
        found = self.known.get(data)
        if found is None:
            found = self.known[data] = len(self.strings) + 1
            self.strings += encode(data)
        return found


class RecordBuffer:
    """A bounded buffer: who adds waits while it is full."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._content = _Content()
        self._finished = False
        self._abandoned = False

    def add(self, row: Row, text: bytes = b"", text2: bytes = b"") -> None:
        """Append one record with its strings."""
        with self._changed:
            while len(self._content.records) > LIMIT_BYTES and not self._abandoned:
                self._changed.wait()
            references = (self._content.reference(text), self._content.reference(text2))
            *head, args = row
            self._content.records += ROW.pack(*head[:3], UNKNOWN_CPU, *head[3:], *args, *references)

    def take(self, timeout_s: float) -> Batch | None:
        """Return what was added since the last time; None when that is nothing."""
        with self._changed:
            if not self._content.records and not self._finished:
                self._changed.wait(timeout_s)
            content, self._content = self._content, _Content()
            self._changed.notify_all()
        if not content.records:
            return None
        return Batch(np.frombuffer(content.records, RECORD), memoryview(content.strings))

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Say that nobody will take anything any more."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
