"""Phases that the program marks itself, as a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llamactl.trace.record.clocked.phases_pipe import PhasePipe
from llamactl.trace.record.source import Recording, Source

if TYPE_CHECKING:
    from llamactl.trace.record.session_kept import Kept
    from llamactl.trace.record.syscalls.base import Command


class Marked(Source):
    """Gives the program the end of a pipe and reads its marks."""

    missing = "Phases"

    def __init__(self, recording: Recording) -> None:
        self._pipe = PhasePipe() if recording.started and recording.options.marks else None
        self._stopped = False

    def command(self, command: Command) -> Command:
        """See :meth:`Source.command`."""
        return command if self._pipe is None else self._pipe.given_to(command)

    def begun(self, kept: Kept, begin_ns: int) -> None:  # noqa: ARG002
        """See :meth:`Source.begun`."""
        if self._pipe is not None:
            self._pipe.close_write_end()

    def drain(self, kept: Kept, finished: bool) -> None:  # noqa: ARG002
        """See :meth:`Source.drain`."""
        if self._pipe is not None and not self._stopped:
            kept.write(self._pipe.read())

    def stop(self, kept: Kept) -> None:  # noqa: ARG002
        """See :meth:`Source.stop`."""
        self._stopped = True

    def finish(self, kept: Kept) -> None:
        """See :meth:`Source.finish`."""
        self.drain(kept, True)

    def facts(self) -> dict[str, Any]:
        """Return the names of the phases, by their numbers in the records."""
        return {"phases": [] if self._pipe is None else self._pipe.phases}

    def close(self) -> None:
        """See :meth:`Source.close`."""
        if self._pipe is not None:
            self._pipe.close()
