"""The agent's part of a session: calls into llama.cpp and the GIL, beside the engine's system calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.trace.engines.base import Command

if TYPE_CHECKING:
    from llamactl.trace.agent.source import AgentSource
    from llamactl.trace.capture.writer import CaptureWriter


class AgentPart:
    """Draws the agent's ring into the capture while the engine records.

    A program that the agent can't be loaded into (static, setuid, another C library) is recorded without
    it; ``note`` says why where that is known.

    Args:
        wanted: Whether calls are to be recorded at all.
    """

    def __init__(self, wanted: bool) -> None:
        self.note: str | None = None
        self.lost = 0
        self._source: AgentSource | None = None
        if wanted:
            self._source = self._open()

    def _open(self) -> AgentSource | None:
        from llamactl.trace.agent.source import AgentSource

        try:
            return AgentSource()
        except LlamactlError as error:
            self.note = f"no calls into llama.cpp: {error}"
            return None

    def command(self, command: Command) -> Command:
        """Return the command with the environment that loads the agent."""
        if self._source is None:
            return command
        try:
            env = self._source.environment(os.environ if command.env is None else command.env)
        except LlamactlError as error:
            self.note = f"no calls into llama.cpp: {error}"
            self.close()
            return command
        return Command(command.argv, env, command.cwd)

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in and return how many records that was."""
        return self._source.drain(writer) if self._source is not None else 0

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left, calls in progress included, and stop listening; a second time does nothing."""
        if self._source is None:
            return 0
        try:
            count = self._source.finish(writer)
            self.lost = self._source.losses().records
            return count
        finally:
            self.close()

    def processes(self) -> list[int]:
        """Return the processes that have made calls."""
        return self._source.processes() if self._source is not None else []

    def close(self) -> None:
        """Remove the ring."""
        if self._source is not None:
            self._source.close()
            self._source = None
