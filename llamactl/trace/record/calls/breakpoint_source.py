"""Breakpoints as a source of calls of their own, beside an engine that isn't ``ptrace``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.capture.record import Kind
from llamactl.trace.record.calls.breakpoints import BreakpointLosses, Breakpoints
from llamactl.trace.record.calls.end_guard import EndGuard
from llamactl.trace.record.signals_held import SignalsHeld
from llamactl.trace.record.syscalls.base import Options
from llamactl.trace.record.syscalls.ptrace import PtraceEngine

if TYPE_CHECKING:
    from llamactl.trace.capture.writer import CaptureWriter

DRAIN_S = 0.002


class BreakpointSource:
    """Breakpoints as a source of their own, with an engine that records no system calls.

    Offers the same as the agent's source: ``drain``, ``finish``, ``losses``, ``metadata``, ``close``.

    Raises:
        LlamactlError: See :class:`Breakpoints`, and what attaching may refuse.
    """

    def __init__(
        self, pid: int, names: frozenset[str] | None = None, gil: bool = False, watch: bool = False
    ) -> None:
        self._engine = PtraceEngine(Options(selection=frozenset(), faults=False))
        self._guard = EndGuard(self.close)
        try:
            self.breakpoints = Breakpoints(self._engine, names, gil, watch)
            self.notes = self.breakpoints.prepare(pid)
            self._engine.attach(pid)
            self.breakpoints.check()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Nothing is left to do: it records since it has attached."""

    def drain(self, writer: CaptureWriter) -> int:
        """Write what has come in. Returns how many records that was."""
        count = 0
        while (batch := self._engine.poll(DRAIN_S)) is not None:
            base = writer.add_arena(batch.strings) if len(batch.strings) else 0
            records = batch.records[np.isin(batch.records["kind"], (Kind.CALL, Kind.WATCH))]
            texts = records["text"]
            if base < 0:
                texts[:] = 0  # The arena is full: the records stay, their strings don't.
            texts[texts != 0] += np.uint32(max(base, 0))
            records = self.breakpoints.translate(records, writer.add_string)
            writer.records(records)
            count += len(records)
        return count

    def finish(self, writer: CaptureWriter) -> int:
        """Take the breakpoints out, let the program go, and write what is left, with the metadata."""
        if not self._engine.state().finished:
            self._engine.detach()
        count = 0
        while not self._engine.state().finished:
            count += self.drain(writer)
        count += self.drain(writer)
        writer.metadata(self.metadata())
        return count

    @property
    def finished(self) -> bool:
        """Whether the program has ended."""
        return self._engine.state().finished

    def losses(self) -> BreakpointLosses:
        """See :meth:`Breakpoints.losses`."""
        return self.breakpoints.losses()

    def metadata(self) -> dict[str, Any]:
        """See :meth:`Breakpoints.metadata`."""
        return self.breakpoints.metadata()

    def close(self) -> None:
        """Take the breakpoints out and let the program go; a signal to llamactl waits until that is done."""
        with SignalsHeld():
            self._engine.close()
        self._guard.remove()
