"""Memory, threads, disk and what futexes are for, looked up by the clock: the source of COUNTER records."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from llamactl.process.memory.regions import find_regions
from llamactl.trace.record.clocked import sampler
from llamactl.trace.record.source import Recording, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.record.session_kept import Kept

LOOKS_FOR_REGIONS = 10


class Samples(Source):
    """Samples every process of the recording, and at the end once more: what a program did is known only then."""

    missing = "Samples of memory, threads and disk"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._wanted = recording.options.sample_s > 0
        self._next = 0.0
        self._looks = 0
        self._regions: dict[str, list[tuple[int, int]]] = {}
        self._read_before = sampler.children_read_bytes()

    def prepare(self, kept: Kept) -> None:
        """What a started program inherits, or what an attached one's counters say before it is recorded."""
        recording = self._recording
        if recording.started:
            kept.look("Open files", lambda: sampler.descriptors(os.getpid(), kept.writer, only=(0, 1, 2)))
            return
        recording.family.begin(list(recording.attached()))
        self._sample(kept)

    def begun(self, kept: Kept, begin_ns: int) -> None:  # noqa: ARG002
        """What an attached program had already."""
        for process in self._recording.attached():
            for what, look in sampler.AT_START.items():
                kept.look(what, lambda look=look, process=process: look(process, kept.writer))  # type: ignore[misc]

    def saw(self, records: NDArray[np.void]) -> None:
        """See :meth:`Source.saw`."""
        self._recording.family.follow(records)

    def drain(self, kept: Kept, finished: bool) -> None:
        """See :meth:`Source.drain`."""
        now = time.monotonic()
        if finished or not self._wanted or now < self._next:
            return
        self._recording.family.begin([self._recording.pid])
        self._sample(kept)
        self._next = now + self._recording.family.pause_s(self._recording.options.sample_s)
        self._look_for_regions()

    def _look_for_regions(self) -> None:
        if not self._regions and self._looks < LOOKS_FOR_REGIONS:
            self._looks += 1
            pid = self._recording.pid
            self._regions = self._recording.parts.run("What futexes are for", lambda: find_regions(pid), {})

    def stop(self, kept: Kept) -> None:
        """See :meth:`Source.stop`."""
        self._sample(kept)

    def _sample(self, kept: Kept) -> None:
        if self._wanted:
            kept.look(self.missing, self._recording.family.sample)

    def facts(self) -> dict[str, Any]:
        """Return places in memory that futexes are known by, and what a started program fetched from storage."""
        facts: dict[str, Any] = {"regions": self._regions}
        if self._recording.started and self._recording.engine.state().wait_status is not None:
            facts["disk_read_bytes"] = sampler.children_read_bytes() - self._read_before
        return facts
