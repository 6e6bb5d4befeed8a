"""What a recording keeps: records and metadata go into the capture, up to the limits or the first error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.capture.record import RECORD, rebase

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.session_parts import Parts
    from llamactl.trace.record.session_types import SessionOptions


@dataclass(slots=True)
class Kept:
    """The way into the capture.

    Attributes:
        writer: Of the capture.
        options: With the limits.
        parts: Where a part's failure is kept.
        broke: Called when nothing more can be written.
        records: How many records are kept.
        error: Why the capture can't be written any further.
    """

    writer: CaptureWriter
    options: SessionOptions
    parts: Parts
    broke: Callable[[], None]
    records: int = 0
    error: LlamactlError | None = None

    def write(self, records: NDArray[np.void]) -> None:
        """Write records, as many as the limits allow."""
        if self.error is None:
            records = records[: self._room()]
            try:
                self.writer.records(records)
                self.records += len(records)
            except LlamactlError as error:
                self.error = error
                self.broke()

    def rebase(self, records: NDArray[np.void], strings: memoryview) -> None:
        """Write the strings of a batch and let its records mean them in the capture."""
        # Below 0 the arena is full: the records stay, their strings don't.
        rebase(records, self.writer.add_arena(strings) if len(strings) else 0)

    def look(self, what: str, look: Callable[[], Any]) -> None:
        """Write what a look at the program found; a failure costs a note on ``what``."""
        self.parts.run(what, lambda: self.write(look()), None)

    def count(self, records: int) -> None:
        """A source has written so many by itself."""
        self.records += records

    def failed(self, what: str, error: Exception) -> None:
        """A source failed: the capture can't be written any further, or there is a note on ``what`` is missing."""
        if isinstance(error, LlamactlError) and self.writer.broken:
            self.error = error
            self.broke()
        else:
            self.parts.failed(what, error)

    def full(self) -> bool:
        """Return whether a limit is reached."""
        options = self.options
        return (options.limit_records is not None and self.records >= options.limit_records) or (
            options.limit_bytes is not None and self.writer.bytes_written >= options.limit_bytes
        )

    def close(self, facts: dict[str, Any], complete: bool) -> None:
        """Write the last facts and close the capture."""
        try:
            self.writer.metadata(facts)
            self.writer.close(complete)
        except LlamactlError as error:
            self.error = error

    def _room(self) -> int | None:
        """Return how many records may still be kept; those of one batch may be more than the limit."""
        records, size = self.options.limit_records, self.options.limit_bytes
        rooms = [] if records is None else [records - self.records]
        if size is not None:
            rooms.append(-(-(size - self.writer.bytes_written) // RECORD.itemsize))
        return max(min(rooms), 0) if rooms else None
