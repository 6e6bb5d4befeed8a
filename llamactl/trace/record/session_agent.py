"""The agent's part of a session: calls into llama.cpp and the GIL, beside the engine's system calls."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.trace.record.syscalls.base import Command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function
    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.agent.own_calls import OwnCalls
    from llamactl.trace.record.agent.source import AgentSource
    from llamactl.trace.record.buffers.watching import Watching
    from llamactl.trace.record.syscalls.base import Batch, Engine


SAMPLED_TOUCHES = 400
"""Touches of a buffer that are seen unless more are asked for: some ten milliseconds in all."""


DAMAGED = (
    "the program has overwritten memory that it shares with llamactl (a wild write): at least {} records of calls"
    " into llama.cpp were damaged and left out"
)


class AgentPart:
    """Draws the agent's ring into the capture while the engine records.

    A program that the agent can't be loaded into (static, setuid, another C library) is recorded without
    it; ``note`` says why where that is known.

    Args:
        wanted: Whether calls are to be recorded at all.
        watch: Whether to watch who reads the buffers that llama.cpp hands out: True for all the time,
            None for the first touches and only where perf events may do it, which cost little.
    """

    def __init__(self, wanted: bool, watch: bool | None = False) -> None:
        self.note: str | None = None
        self.lost = 0
        self._watch = watch
        self._watching: Watching | None = None
        self._unwanted = False
        self._finished = False
        self._unwatched = ""
        self._source: AgentSource | None = None
        self._own_calls: OwnCalls | None = None
        if wanted:
            self._source = self._open()
        if self._source is not None:
            self._own_calls = self._source.own_calls  # Also for what the engine still has at the end.

    def _open(self) -> AgentSource | None:
        from llamactl.trace.record.agent.source import AgentSource

        try:
            return AgentSource()
        except LlamactlError as error:
            self.note = f"no calls into llama.cpp: {error}"
            return None

    def command(self, command: Command, engine: Engine) -> Command:
        """Return the command with the environment that loads the agent; the engine hasn't started yet."""
        if self._source is None:
            return command
        try:
            env = self._source.environment(os.environ if command.env is None else command.env)
        except LlamactlError as error:
            self.note = f"no calls into llama.cpp: {error}"
            self._close_source()
            return command
        if self._watch is not False:
            self._begin_to_watch(self._source, engine)
        return Command(command.argv, env, command.cwd)

    def _begin_to_watch(self, source: AgentSource, engine: Engine) -> None:
        from llamactl.trace.record.buffers.watching import Watching

        always = self._watch is True
        touches = 0 if always else SAMPLED_TOUCHES
        asks = source.ask_for_buffers()
        try:
            self._watching = Watching(engine, registers=always, touches=touches, asks=asks)
        except LlamactlError as error:
            asks[:] = 0
            self._unwatched = f"{error}. {error.hint}" if error.hint else str(error)

    def inherit(self, wanted: bool) -> None:
        """Let what is started next have the ring's descriptor, or not."""
        if self._source is not None:
            self._source.inherit(wanted)

    def of_program(self, batch: Batch) -> NDArray[np.void]:
        """Return the records of a batch without the agent's own system calls."""
        if self._own_calls is None:
            return batch.records
        return self._own_calls.without(batch.records, batch.strings)

    def stand_down(self) -> None:
        """Breakpoints record the calls of this program; may be called by another thread."""
        self._unwanted = True

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:
        """Return a batch of the engine's as it goes into the capture."""
        if self._watching is not None:
            self._watching.resolve(records, writer.add_string)
        return records

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in and return how many records that was."""
        count = self._watching.drain(writer) if self._watching is not None else 0
        if self._unwanted:
            self._close_source()
        return count + (self._source.drain(writer) if self._source is not None else 0)

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left, calls in progress included, and stop listening; a second time does nothing."""
        if self._finished:
            return 0
        self._finished = True
        try:
            count = self._watching.finish(writer) if self._watching is not None else 0
            if self._unwatched:
                writer.metadata({"watch": {"refused": self._unwatched}})
            if self._source is not None and not self._unwanted:
                count += self._source.finish(writer)
                losses = self._source.losses()
                self.lost = losses.records
                if losses.damaged:
                    self.note = DAMAGED.format(losses.damaged)
            return count
        finally:
            self._close_source()

    def functions(self) -> list[Function]:
        """Return the functions bound so far, by number."""
        return self._source.functions() if self._source is not None else []

    def retire(self, writer: CaptureWriter) -> None:
        """Write what is left and record no more: another way takes over, after these functions."""
        if self._source is not None:
            self._source.finish(writer)
            self._close_source()

    def processes(self) -> list[int]:
        """Return the processes that have made calls."""
        return self._source.processes() if self._source is not None else []

    def close(self) -> None:
        """Leave the ring and free the watchpoints, once the engine is closed."""
        self._close_source()
        if self._watching is not None:
            self._watching.close()
            self._watching = None

    def _close_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
