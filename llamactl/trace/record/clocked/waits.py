"""How long threads waited for a CPU, as a source of SCHED records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llamactl.trace.record.clocked.scheduling import SchedulingSampler
from llamactl.trace.record.source import Recording, Source

if TYPE_CHECKING:
    from llamactl.trace.record.session_kept import Kept


class Waits(Source):
    """Looks at the scheduler's counts while the program runs; see :mod:`.scheduling`."""

    missing = "Waits for a CPU"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._sampler = SchedulingSampler(recording.started, recording.parts)
        self._stopped = False

    def begun(self, kept: Kept, begin_ns: int) -> None:  # noqa: ARG002
        """See :meth:`Source.begun`."""
        if self._recording.options.sample_s:
            self._sampler.look_at(self._recording.processes())

    def drain(self, kept: Kept, finished: bool) -> None:
        """See :meth:`Source.drain`."""
        if self._recording.options.sample_s and not finished and not self._stopped:
            self._sampler.look_at(self._recording.processes())
            kept.write(self._sampler.take(kept.writer))

    def stop(self, kept: Kept) -> None:
        """See :meth:`Source.stop`."""
        self.finish(kept)

    def finish(self, kept: Kept) -> None:
        """See :meth:`Source.finish`."""
        if not self._stopped:
            self._stopped = True
            kept.write(self._sampler.finish(kept.writer))

    def facts(self) -> dict[str, Any]:
        """Return why Python's collector wasn't seen, by process."""
        return {"collectors_unseen": {str(pid): why for pid, why in self._sampler.collectors.unseen.items()}}

    def close(self) -> None:
        """See :meth:`Source.close`."""
        self._sampler.close()
