"""Calls into llama.cpp caught from outside, as a source: of a program that is attached to, or can't have the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError
from llamactl.trace.record.calls.attached import AttachedCalls, catch_if_possible, catch_started
from llamactl.trace.record.source import Recording, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.record.session_agent import AgentPart
    from llamactl.trace.record.session_kept import Kept


class Caught(Source):
    """Uprobes where they are allowed, breakpoints where they are asked for.

    Args:
        recording: Its options say whether.
        agent: Stands down where breakpoints are needed in a program that is started.
    """

    missing = "Calls into llama.cpp"

    def __init__(self, recording: Recording, agent: AgentPart | None) -> None:
        self._recording, self._agent = recording, agent
        self._calls: AttachedCalls | None = None
        self._refused = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """See :attr:`Source.notes`."""
        calls = tuple(self._calls.notes) if self._calls is not None else ()
        return ((self._refused,) if self._refused else ()) + calls

    def prepare(self, kept: Kept) -> None:
        """See :meth:`Source.prepare`.

        Raises:
            LlamactlError: Calls can't be caught in the way that was asked for.
        """
        recording, options = self._recording, self._recording.options
        if not options.calls:
            if not recording.started:
                kept.writer.metadata({"calls_asked": False})
        elif not recording.started:
            self._catch(kept)
        elif options.breakpoints:
            down = (lambda: None) if self._agent is None else self._agent.stand_down
            self._calls = catch_started(recording.engine, down)

    def _catch(self, kept: Kept) -> None:
        recording, options = self._recording, self._recording.options
        pid, *others = recording.attached()
        try:
            self._calls, self._refused = catch_if_possible(
                pid, recording.engine, options.breakpoints, bool(options.watch), others
            )
            if self._refused:
                kept.writer.metadata({"calls_refused": self._refused.partition(". ")[0]})
        except LlamactlError:
            raise
        except Exception as error:
            recording.parts.failed(self.missing, error)

    def attach(self) -> None:
        """See :meth:`Source.attach`."""
        if self._calls is not None:
            self._calls.attached()

    def translate(self, records: NDArray[np.void], kept: Kept) -> NDArray[np.void]:
        """See :meth:`Source.translate`."""
        return records if self._calls is None else self._calls.translate(records, kept.writer)

    def drain(self, kept: Kept, finished: bool) -> None:  # noqa: ARG002
        """See :meth:`Source.drain`."""
        if self._calls is not None:
            kept.count(self._calls.drain(kept.writer))

    def stop(self, kept: Kept) -> None:
        """See :meth:`Source.stop`."""
        if self._calls is not None:
            kept.count(self._calls.ended(kept.writer))

    def finish(self, kept: Kept) -> None:
        """See :meth:`Source.finish`."""
        if self._calls is not None:
            kept.count(self._calls.finish(kept.writer))

    def close(self) -> None:
        """See :meth:`Source.close`."""
        if self._calls is not None:
            self._calls.close()
