"""The engines of a recording, as a source: where they are mapped, and a second way to calls that the agent can't see."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError
from llamactl.snapshot.process.snapshot import inspect_process
from llamactl.trace.record.agent.library import find_agent
from llamactl.trace.record.calls.rescued import Rescued
from llamactl.trace.record.engines_seen import EnginesSeen
from llamactl.trace.record.source import Recording, Source

if TYPE_CHECKING:
    from llamactl.trace.record.session_agent import AgentPart
    from llamactl.trace.record.session_kept import Kept


class EnginesPart(Source):
    """Looks for engines in the recorded processes while calls are recorded.

    Args:
        recording: Its options say whether calls are recorded.
        agent: Uprobes may take its place.
    """

    missing = "Engines in the recorded processes"

    def __init__(self, recording: Recording, agent: AgentPart | None) -> None:
        options, self._recording = recording.options, recording
        self._seen = EnginesSeen(_agent_file() if recording.started else None) if options.calls else None
        rescue = options.calls and recording.started and not options.breakpoints
        self._rescued = Rescued(agent) if rescue and agent is not None else None
        self._finished = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how calls were caught."""
        return tuple(self._rescued.notes) if self._rescued is not None else ()

    def drain(self, kept: Kept, finished: bool) -> None:
        """Look at the processes, and write what uprobes have."""
        if self._seen is None or self._finished or finished or not self._recording.options.sample_s:
            return
        new = self._seen.look(self._recording.processes())
        if self._rescued is not None:
            self._rescued.look_at(new, kept.writer)
            kept.count(self._rescued.drain(kept.writer))

    def stop(self, kept: Kept) -> None:
        """See :meth:`Source.stop`."""
        self.finish(kept)

    def finish(self, kept: Kept) -> None:
        """Write what is left, and the metadata; a second time does nothing."""
        if self._seen is None or self._finished:
            return
        self._finished = True
        kept.writer.metadata({"engines": self._seen.metadata(), **self._binding()})
        if self._rescued is not None:
            kept.count(self._rescued.finish(kept.writer))

    def _binding(self) -> dict[str, Any]:
        """Return which binding a program uses that runs already, as ``inspect`` tells it: no call has its line."""
        seen = [] if self._recording.started or self._seen is None else self._seen.metadata()
        for pid in dict.fromkeys(row["pid"] for row in seen):
            with suppress(LlamactlError, OSError):
                found = inspect_process(pid, ("binding",)).binding
                if found is not None and found.version is not None:
                    about = {"name": found.name, "version": found.version, "interface": found.interface}
                    return {"binding": about}
        return {}

    def close(self) -> None:
        """Remove what is in the way of others."""
        if self._rescued is not None:
            self._rescued.close()


def _agent_file() -> str | None:
    try:
        return str(find_agent())
    except LlamactlError:
        return None
