"""The engines' part of a session: where they are mapped, and a second way to calls that the agent can't see."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError
from llamactl.snapshot.process.snapshot import inspect_process
from llamactl.trace.record.agent.library import find_agent
from llamactl.trace.record.calls.rescued import Rescued
from llamactl.trace.record.engines_seen import EnginesSeen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.session_agent import AgentPart


class EnginesPart:
    """Looks for engines in the recorded processes while calls are recorded.

    Args:
        wanted: Whether calls are to be recorded at all.
        started: Whether the program is started by us, with the agent.
        rescue: Whether uprobes may take the agent's place.
        agent: The agent's part.
    """

    def __init__(self, wanted: bool, started: bool, rescue: bool, agent: AgentPart) -> None:
        self._seen = EnginesSeen(_agent_file() if started else None) if wanted else None
        self._rescued = Rescued(agent) if wanted and started and rescue else None
        self._started = started
        self._finished = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how calls were caught."""
        return tuple(self._rescued.notes) if self._rescued is not None else ()

    def drain(self, pids: Iterable[int], writer: CaptureWriter) -> int:
        """Look at the processes, and write what uprobes have; return how many records that was."""
        if self._seen is None or self._finished:
            return 0
        new = self._seen.look(pids)
        if self._rescued is None:
            return 0
        self._rescued.look_at(new, writer)
        return self._rescued.drain(writer)

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left, and the metadata; a second time does nothing."""
        if self._seen is None or self._finished:
            return 0
        self._finished = True
        writer.metadata({"engines": self._seen.metadata(), **self._binding()})
        return self._rescued.finish(writer) if self._rescued is not None else 0

    def _binding(self) -> dict[str, Any]:
        """Return which binding a program uses that runs already, as ``inspect`` tells it: no call has its line."""
        seen = [] if self._started or self._seen is None else self._seen.metadata()
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
