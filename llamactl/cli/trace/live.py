"""The log while a program is being recorded, read from the capture as it grows."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from llamactl.render.trace.log import log_lines
from llamactl.trace.capture.reader import Capture
from llamactl.trace.decode.filters import Selection
from llamactl.trace.mechanisms.events import EventReader
from llamactl.trace.mechanisms.phases import find_phases
from llamactl.trace.mechanisms.view import PIECE, View

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LiveLog:
    """Writes the lines of records that have come since the last time.

    Args:
        path: The capture; a record whose string hasn't come yet can't occur, strings are written first.
        selection: What is shown.
        out: Where the lines go.
    """

    def __init__(self, path: Path, selection: Selection, out: IO[str]) -> None:
        self._path = path
        self._selection = Selection(paths=selection.paths, errors=selection.errors)
        self._out = out
        self._seen = 0
        self._begin: int | None = None
        self._capture: Capture | None = None
        self._reader: EventReader | None = None

    def update(self) -> None:
        """Write what is new."""
        capture = Capture.open(self._path)
        fresh = _records_after(capture, self._seen)
        if not len(fresh):
            return
        self._capture = capture
        if self._reader is None:
            no_phases = find_phases((), {})
            self._reader = EventReader(self._text, capture.metadata, no_phases, self._selection)
        for begin in range(0, len(fresh), PIECE):
            view = View(fresh[begin : begin + PIECE], self._seen + begin)
            if self._begin is None:
                self._begin = int(view.records["start"].min())
            for line in log_lines(self._reader.events(view), self._begin):
                self._out.write(f"{line}\n")
        self._out.flush()
        self._seen += len(fresh)

    def _text(self, reference: int) -> bytes:
        return self._capture.text(reference) if self._capture else b""


def _records_after(capture: Capture, seen: int) -> NDArray[np.void]:
    """Return the records from number ``seen`` on, ordered as calls returned."""
    parts = []
    position = 0
    for chunk in capture.raw_chunks():
        if position + len(chunk) > seen:
            parts.append(chunk[max(seen - position, 0) :])
        position += len(chunk)
    if not parts:
        return np.zeros(0, dtype=np.void)
    records = np.concatenate(parts)
    return records[np.argsort(records["start"] + records["duration"], kind="stable")]
