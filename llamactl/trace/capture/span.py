"""When a recording began and ended, and what of the records lies within."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.capture.open_ends import is_timed
from llamactl.trace.capture.record import Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Span:
    """The time of one recording, on CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self.begin_ns: int | None = None
        self.looked_ns: int | None = None
        self.end_ns: int | None = None

    def begin(self) -> None:
        """Everything records from now on."""
        self.begin_ns = time.monotonic_ns()

    def looked(self) -> None:
        """What was there before has been looked up."""
        self.looked_ns = time.monotonic_ns()

    def end(self) -> None:
        """Nothing that begins from now on is kept."""
        if self.end_ns is None:
            self.end_ns = time.monotonic_ns()

    def length_s(self) -> float:
        """Return how long the recording has lasted, seconds; 0 before it has begun."""
        return 0.0 if self.begin_ns is None else ((self.end_ns or time.monotonic_ns()) - self.begin_ns) / 1e9

    def time_left(self, duration_s: float | None, longest_s: float) -> float:
        """Return how long may be waited, seconds: to the end of a recording of that duration, or ``longest_s``."""
        if duration_s is None or self.end_ns is not None:
            return longest_s
        return min(max(duration_s - self.length_s(), 0.0), longest_s)

    def cut(self, records: NDArray[np.void]) -> NDArray[np.void]:
        """Return the records that began before the end; those that ended later didn't end while it was recorded."""
        if self.end_ns is None:
            return records
        kept: NDArray[np.void] = records[records["start"] <= self.end_ns].copy()
        late = is_timed(kept) & (kept["start"] + kept["duration"] > self.end_ns)
        kept["flags"][late] |= int(Flag.NO_EXIT)
        kept["duration"][late], kept["ret"][late] = 0, 0
        return kept

    def metadata(self) -> dict[str, Any]:
        """Return what the capture says of it."""
        moments = {"begin_ns": self.begin_ns, "looked_ns": self.looked_ns, "end_ns": self.end_ns}
        return {"recorded": moments}
