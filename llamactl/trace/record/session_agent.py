"""The agent as a source: calls into llama.cpp and the GIL, in a program that is started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.trace.record.source import Recording, Source
from llamactl.trace.record.syscalls.base import Command

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.functions import Function
    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.agent.own_calls import OwnCalls
    from llamactl.trace.record.agent.source import AgentSource
    from llamactl.trace.record.buffers.watching import Watching
    from llamactl.trace.record.session_kept import Kept


SAMPLED_TOUCHES = 400
"""Touches of a buffer that are seen unless more are asked for: some ten milliseconds in all."""


DAMAGED = (
    "the program has overwritten memory that it shares with llamactl (a wild write): at least {} records of calls"
    " into llama.cpp were damaged and left out"
)


class AgentPart(Source):
    """Draws the agent's ring into the capture while the engine records.

    A program that the agent can't be loaded into (static, setuid, another C library) is recorded without
    it; ``note`` says why where that is known.

    Args:
        recording: Its options say whether calls are recorded, and whether to watch who reads the buffers that
            llama.cpp hands out: True for all the time, None for the first touches and only where perf events may
            do it, which cost little.
    """

    missing = "Calls into llama.cpp"

    def __init__(self, recording: Recording) -> None:
        self.note: str | None = None
        self._recording = recording
        wanted = recording.options.calls and recording.started
        self._watch = recording.options.watch if wanted else False
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

    @property
    def notes(self) -> tuple[str, ...]:
        """See :attr:`Source.notes`."""
        return (self.note,) if self.note else ()

    def _open(self) -> AgentSource | None:
        from llamactl.trace.record.agent.source import AgentSource

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
            self._close_source()
            return command
        if self._watch is not False:
            self._begin_to_watch(self._source)
        return Command(command.argv, env, command.cwd)

    def _begin_to_watch(self, source: AgentSource) -> None:
        from llamactl.trace.record.buffers.watching import Watching

        always = self._watch is True
        touches = 0 if always else SAMPLED_TOUCHES
        asks = source.ask_for_buffers()
        try:
            self._watching = Watching(self._recording.engine, registers=always, touches=touches, asks=asks)
        except LlamactlError as error:
            asks[:] = 0
            self._unwatched = f"{error}. {error.hint}" if error.hint else str(error)

    def starting(self, now: bool) -> None:
        """Let what is started next have the ring's descriptor, or not."""
        if self._source is not None:
            self._source.inherit(now)

    def of_program(self, records: NDArray[np.void], strings: memoryview) -> NDArray[np.void]:
        """Return the records of a batch without the agent's own system calls."""
        return records if self._own_calls is None else self._own_calls.without(records, strings)

    def stand_down(self) -> None:
        """Breakpoints record the calls of this program; may be called by another thread."""
        self._unwanted = True

    def translate(self, records: NDArray[np.void], kept: Kept) -> NDArray[np.void]:
        """Name the readers of buffers in a batch of the engine's."""
        if self._watching is not None:
            self._watching.resolve(records, kept.writer.add_string)
        return records

    def drain(self, kept: Kept, finished: bool) -> None:  # noqa: ARG002
        """See :meth:`Source.drain`."""
        if self._watching is not None:
            kept.count(self._watching.drain(kept.writer))
        if self._unwanted:
            self._close_source()
        if self._source is not None:
            kept.count(self._source.drain(kept.writer))

    def stop(self, kept: Kept) -> None:
        """See :meth:`Source.stop`."""
        self.finish(kept)

    def finish(self, kept: Kept) -> None:
        """Write what is left, calls in progress included, and stop listening; a second time does nothing."""
        if self._finished:
            return
        self._finished = True
        writer = kept.writer
        try:
            if self._watching is not None:
                kept.count(self._watching.finish(writer))
            if self._unwatched:
                writer.metadata({"watch": {"refused": self._unwatched}})
            if self._source is not None and not self._unwanted:
                kept.count(self._source.finish(writer))
                losses = self._source.losses()
                self.lost = losses.records
                if losses.damaged:
                    self.note = DAMAGED.format(losses.damaged)
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
