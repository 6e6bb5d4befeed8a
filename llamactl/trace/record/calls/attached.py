"""Calls of a program that a session attaches to: by uprobes where they are allowed, by breakpoints on request."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from llamactl.errors import LlamactlError
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.record.calls.breakpoint_source import BreakpointSource
from llamactl.trace.record.calls.breakpoints import WARNING, Breakpoints
from llamactl.trace.record.calls.end_guard import EndGuard
from llamactl.trace.record.calls.several import SeveralCalls
from llamactl.trace.record.calls.targets import EngineMissingError
from llamactl.trace.record.calls.uprobes import UprobeSource
from llamactl.trace.record.syscalls.ptrace import PtraceEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.syscalls.base import Engine


LOOK_EVERY_S = 0.1
LATE = "llama.cpp was loaded after attaching: calls are caught from a tenth of a second later on"


class AttachedCalls(Protocol):
    """What a session does for the calls of a program, whichever way they are caught."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how it was done, as sentences."""

    def attached(self) -> None:
        """The engine has attached. Raises LlamactlError when the calls can't be caught after all."""

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:
        """Return a batch of the engine's as it goes into the capture."""

    def drain(self, writer: CaptureWriter) -> int:
        """Write what didn't come through the engine."""

    def ended(self, writer: CaptureWriter) -> int:
        """Recording ends: catch no more, and write what is left where the engine hasn't got it."""

    def finish(self, writer: CaptureWriter) -> int:
        """Write what is left and the metadata, when the engine has let the program go."""

    def close(self) -> None:
        """Leave nothing behind in the program."""


class _Beside:
    """A source that doesn't need the engine."""

    def __init__(self, source: UprobeSource | BreakpointSource, notes: tuple[str, ...]) -> None:
        self._source = source
        self.notes = notes

    def attached(self) -> None:
        self._source.begin()

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:  # noqa: ARG002
        return records

    def drain(self, writer: CaptureWriter) -> int:
        return self._source.drain(writer)

    def ended(self, writer: CaptureWriter) -> int:
        return self._source.finish(writer)

    def finish(self, writer: CaptureWriter) -> int:
        return self._source.finish(writer)

    def close(self) -> None:
        self._source.close()


class _Late:
    """Uprobes for a program that hasn't loaded llama.cpp yet: it is looked at again and again.

    What it calls before it was looked at isn't seen.
    """

    def __init__(self, pid: int, watch: bool, reason: str) -> None:
        self._pid, self._watch, self._reason = pid, watch, reason
        self._source: UprobeSource | None = None
        self._objects: list[str] = []
        self._next = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        return (LATE, *self._source.notes) if self._source is not None else (self._reason,)

    def attached(self) -> None:
        pass

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:  # noqa: ARG002
        return records

    def drain(self, writer: CaptureWriter) -> int:
        if self._source is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK_EVERY_S
            self._look()
        return self._source.drain(writer) if self._source is not None else 0

    def _look(self) -> None:
        try:
            objects = ProcessMaps(self._pid).objects()
            if objects != self._objects:
                self._objects = objects
                self._source = UprobeSource(self._pid, watch=self._watch)
                self._source.begin()
        except LlamactlError as error:
            self._reason = str(error)

    def ended(self, writer: CaptureWriter) -> int:
        return self._source.finish(writer) if self._source is not None else 0

    def finish(self, writer: CaptureWriter) -> int:
        return self._source.finish(writer) if self._source is not None else 0

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


class _InEngine:
    """Breakpoints in the engine that records system calls: a program can have one tracer only."""

    def __init__(self, pid: int, engine: PtraceEngine, watch: bool) -> None:
        self._breakpoints = Breakpoints(engine, watch=watch)
        self._guard = EndGuard(engine.close)
        self.first_notes: tuple[str, ...] = (*self._breakpoints.prepare(pid), WARNING)

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.first_notes, *self._breakpoints.notes)

    def attached(self) -> None:
        self._breakpoints.check()

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:
        return self._breakpoints.translate(records, writer.add_string)

    def drain(self, writer: CaptureWriter) -> int:  # noqa: ARG002
        return 0

    def ended(self, writer: CaptureWriter) -> int:  # noqa: ARG002 - the engine has them
        return 0

    def finish(self, writer: CaptureWriter) -> int:
        writer.metadata(self._breakpoints.metadata())
        return 0

    def close(self) -> None:
        self._guard.remove()


class _Started:
    """Breakpoints in a program that llamactl starts: where the agent can't be, in static programs and musl."""

    def __init__(self, engine: Engine, found: Callable[[], None]) -> None:
        holder = engine.stopper
        if holder is None:
            raise LlamactlError(
                "breakpoints need a recorder that stops the program",
                "Take --recorder ptrace, or leave it out.",
            )
        self._breakpoints = Breakpoints(holder, agent=True, found=found)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._breakpoints.notes

    def attached(self) -> None:
        pass

    def translate(self, records: NDArray[np.void], writer: CaptureWriter) -> NDArray[np.void]:
        return self._breakpoints.translate(records, writer.add_string)

    def drain(self, writer: CaptureWriter) -> int:  # noqa: ARG002
        return 0

    def ended(self, writer: CaptureWriter) -> int:  # noqa: ARG002 - the engine has them
        return 0

    def finish(self, writer: CaptureWriter) -> int:
        if self._breakpoints.found_engine:
            writer.metadata(self._breakpoints.metadata())
        return 0

    def close(self) -> None:
        """The engine's end is the program's, or it has taken the breakpoints out."""


def catch_started(engine: Engine, found: Callable[[], None]) -> AttachedCalls:
    """Return breakpoints for a program that the engine will start, if the agent can't be loaded into it.

    Args:
        engine: The session's engine, not started yet.
        found: Called once, in another thread, when llama.cpp was found in such a program.

    Raises:
        LlamactlError: The engine can't have breakpoints, or the processor.
    """
    return _Started(engine, found)


def catch_calls(pid: int, engine: Engine, breakpoints: bool, watch: bool) -> AttachedCalls:
    """Return the way in which calls are caught; to be used before the engine attaches.

    Args:
        pid: The program.
        engine: The session's engine, not attached yet.
        breakpoints: Whether breakpoints may be used where uprobes are refused.
        watch: Whether to watch who reads the logits.

    Raises:
        LlamactlError: Neither way is open; the message says why and what helps.
    """
    try:
        source = UprobeSource(pid, watch=watch)
        if not (breakpoints and source.without_ends):
            return _Beside(source, source.notes)
        source.close()
        reason = f"breakpoints instead of uprobes: {source.notes[0]}"
    except EngineMissingError as error:
        if not breakpoints:
            return _Late(pid, watch, str(error))
        reason = f"breakpoints instead of uprobes: {error}"
    except LlamactlError as error:
        if not breakpoints:
            hint = f"{error.hint} --breakpoints catches calls without uprobes."
            raise LlamactlError(f"calls can't be caught: {error.message}", hint.strip()) from error
        reason = f"breakpoints instead of uprobes: {error}"
    if engine.stopper is engine:
        calls = _InEngine(pid, engine.stopper, watch)
        calls.first_notes = (reason, *calls.first_notes)
        return calls
    return _Beside(BreakpointSource(pid, watch=watch), (reason, WARNING))


def catch_if_possible(
    pid: int, engine: Engine, breakpoints: bool, watch: bool, others: Sequence[int] = ()
) -> tuple[AttachedCalls | None, str]:
    """Return the way in which calls are caught, or None and why not; see :func:`catch_calls`.

    ``others`` are processes whose calls are to be caught, too, by uprobes; breakpoints are the first one's.

    Raises:
        LlamactlError: They can't be caught although breakpoints or watching were asked for.
    """
    try:
        if others and not breakpoints:
            with suppress(EngineMissingError):
                return SeveralCalls((pid, *others), watch), ""
        return catch_calls(pid, engine, breakpoints, watch), ""
    except LlamactlError as error:
        if breakpoints or watch:
            raise
        return None, str(error)
