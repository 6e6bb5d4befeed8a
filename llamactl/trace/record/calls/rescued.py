"""Uprobes for a started program in which the agent isn't: a second way to the same calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.trace.record.calls.targets import FUNCTIONS
from llamactl.trace.record.calls.uprobes import UprobeSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.engines_seen import SeenEngine
    from llamactl.trace.record.session_agent import AgentPart

INSTEAD = (
    "the agent isn't in process {pid} ({name}): {why}. Its calls were caught by uprobes instead, from a tenth of a"
    " second after {library} was loaded"
)
NEITHER = "calls in process {pid} ({name}) weren't caught: the agent isn't in it, since {why}; {refused}"
OTHERS = "the agent catches those of another process, and only one way can be recorded at a time"


class Rescued:
    """Catches the calls of the first process that has an engine with functions to catch and not the agent.

    Args:
        agent: Stops recording when this begins: both number functions in one table.
    """

    def __init__(self, agent: AgentPart) -> None:
        self._agent = agent
        self._source: UprobeSource | None = None
        self._looked_at: set[int] = set()
        self.notes: list[str] = []

    def look_at(self, seen: Iterable[SeenEngine], writer: CaptureWriter) -> None:
        """Begin to catch calls where that is needed and allowed."""
        for engine in seen:
            if not engine.without or not engine.exported or engine.kind.startswith("libggml"):
                continue
            if engine.pid not in self._looked_at:
                self._looked_at.add(engine.pid)
                self._begin(engine, writer)

    def _begin(self, engine: SeenEngine, writer: CaptureWriter) -> None:
        about = {"pid": engine.pid, "name": engine.process, "why": engine.without}
        known = self._agent.functions()
        if self._source is not None or any(row.name.startswith(FUNCTIONS) for row in known):
            self.notes.append(NEITHER.format(**about, refused=OTHERS))
            return
        try:
            source = UprobeSource(engine.pid, functions=known)
        except LlamactlError as error:
            refused = f"{error}. {error.hint}" if error.hint else str(error)
            self.notes.append(NEITHER.format(**about, refused=refused))
            return
        source.begin()
        self._agent.retire(writer)
        self._source = source
        self.notes.append(INSTEAD.format(**about, library=engine.path.rpartition("/")[2]))
        self.notes += source.notes

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in; return how many records that was."""
        return self._source.drain(writer) if self._source is not None else 0

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left, and the metadata."""
        return self._source.finish(writer) if self._source is not None else 0

    def close(self) -> None:
        """Remove the uprobes."""
        if self._source is not None:
            self._source.close()
