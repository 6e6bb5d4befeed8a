"""Breakpoints: calls of a running program are caught by int3, in the thread of the engine ``ptrace``.

Only when asked for: should llamactl be killed (SIGKILL), the breakpoints stay behind and the program dies
at the next one. Uprobes don't have this fault.
"""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.trace.boundary.calls import CallTable
from llamactl.trace.boundary.end_guard import EndGuard
from llamactl.trace.boundary.points import new_points, point_of
from llamactl.trace.boundary.scratch import find_scratch
from llamactl.trace.boundary.targets import UNWINDERS, Found, find_targets, kept_of
from llamactl.trace.boundary.watch import LOGITS, without_own
from llamactl.trace.boundary.watching import Watching
from llamactl.trace.capture.record import Kind
from llamactl.trace.engines.base import Options
from llamactl.trace.engines.native import ffi, lib
from llamactl.trace.engines.ptrace import PtraceEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from llamactl.trace.capture.writer import CaptureWriter

WARNING = (
    "breakpoints are in the program while it is traced: if llamactl is killed with SIGKILL,"
    " the program dies at its next call into llama.cpp"
)
REQUEST_ARM = 4
DRAIN_S = 0.002


@dataclass(frozen=True, slots=True)
class BreakpointLosses:
    """What the breakpoints couldn't do.

    Attributes:
        functions: Functions that weren't armed, since their first instruction isn't understood or there was
            no room; their calls aren't seen.
        endings: Calls recorded without an end, since they were nested too deep.
        inner: llama.cpp's calls to itself, which aren't recorded but cost a stop.
    """

    functions: int
    endings: int
    inner: int


class Breakpoints:
    """The breakpoints of one recording, carried by an engine ``ptrace``.

    Args:
        pid: The process that will be, or is, attached to.
        names: The functions; None for what ``find_targets`` chooses.
        gil: Whether to catch the GIL's functions as well: two more stops for each.
        watch: Whether to watch the logits with the debug registers.

    Raises:
        LlamactlError: Breakpoints can't be used here, or the process has no llama.cpp.
    """

    def __init__(
        self, pid: int, names: frozenset[str] | None = None, gil: bool = False, watch: bool = False
    ) -> None:
        self._pid = pid
        self._wants_watch = watch
        self._watching: Watching | None = None
        self._last: Any = ffi.new("struct breakpoint_state *")
        if platform.machine() != "x86_64":
            raise LlamactlError(f"breakpoints aren't made for {platform.machine()}", "Uprobes need root.")
        self._found = find_targets(pid, names, gil, unwinders=True)
        _refuse(pid, self._found)
        exports = self._found.exports
        self._kept = [
            kept_of(target.name, exports.get(target.library, ()), frozenset())
            for target in self._found.targets
        ]
        self._calls = CallTable(self._found, self._kept)
        self._engine: PtraceEngine | None = None

    def arm(self, engine: PtraceEngine, attached: bool) -> None:
        """Give the breakpoints to an engine: before it attaches, or while it runs (``attached``).

        Raises:
            LlamactlError: There is no room for them in the process.
        """
        start, size = find_scratch(self._found)
        rows = [
            point_of(nr, target, kept, self._wants_watch and target.name in LOGITS)
            for nr, (target, kept) in enumerate(zip(self._found.targets, self._kept, strict=True))
        ]
        for row, target in zip(rows, self._found.targets, strict=True):
            row["unwinds"] = target.name in UNWINDERS
        code = lib.tracer_breakpoints(engine.tracer, new_points(rows, self._found.ranges), start, size)
        if code:
            raise LlamactlError(f"can't set breakpoints: {os.strerror(code)}")
        self._engine = engine
        if self._wants_watch:
            self._watching = Watching(engine, perf=False)
        if attached:
            lib.tracer_ask(engine.tracer, REQUEST_ARM)

    def check(self) -> None:
        """Raise LlamactlError when arming has failed; for use once the engine is attached."""
        state = self._state()
        if state.error:
            reason = (
                "the place for them is in use" if state.error == errno.EBUSY else os.strerror(state.error)
            )
            raise LlamactlError(f"can't set breakpoints: {reason}")

    def translate(self, records: NDArray[np.void], add: Callable[[bytes], int]) -> NDArray[np.void]:
        """Return an engine's batch as it goes into the capture.

        Args:
            records: Changed in place.
            add: ``CaptureWriter.add_string``.
        """
        records = self._calls.translate(records)
        if self._watching is not None:
            self._watching.resolve(records, add)
            records = without_own(records, self._calls.functions)
        return records

    def losses(self) -> BreakpointLosses:
        """Return what couldn't be done."""
        state = self._state()
        return BreakpointLosses(state.refused, state.unrecorded, state.inner)

    def metadata(self) -> dict[str, Any]:
        """Return "functions", "function_table", and "boundary" with how it was done."""
        state = self._state()
        about = {
            "way": "breakpoints",
            "armed": state.functions,
            "refused": state.refused,
            "hits": state.hits,
            "inner": state.inner,
            "without_end": state.unrecorded,
        }
        more = {"watch": self._watching.metadata()} if self._watching is not None else {}
        return {**self._calls.metadata(), "boundary": about, **more}

    def _state(self) -> Any:
        """How the breakpoints stand, or stood when the engine was closed."""
        if self._engine is not None and self._engine.tracer is not None:
            lib.tracer_breakpoint_state(self._engine.tracer, self._last)
        return self._last


class BreakpointSource:
    """Breakpoints as a source of their own, with an engine that records no system calls.

    Offers the same as the agent's source: ``drain``, ``finish``, ``losses``, ``metadata``, ``close``.

    Raises:
        LlamactlError: See :class:`Breakpoints`, and what attaching may refuse.
    """

    def __init__(
        self, pid: int, names: frozenset[str] | None = None, gil: bool = False, watch: bool = False
    ) -> None:
        self.breakpoints = Breakpoints(pid, names, gil, watch)
        self._engine = PtraceEngine(Options(selection=frozenset(), faults=False))
        self._guard = EndGuard(self.close)
        try:
            self.breakpoints.arm(self._engine, attached=False)
            self._engine.attach(pid)
            self.breakpoints.check()
        except BaseException:
            self.close()
            raise

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
        """Take the breakpoints out and let the program go."""
        self._engine.close()
        self._guard.remove()


def _refuse(pid: int, found: Found) -> None:
    if not any(target.name.startswith("llama_") for target in found.targets):
        raise LlamactlError(f"process {pid} has no library of llama.cpp with functions to catch")
    for path in found.maps.objects():
        if PurePosixPath(path).name.startswith("_greenlet."):
            raise LlamactlError(
                f"process {pid} uses greenlets, which move stacks about: breakpoints could end it",
                "Use uprobes, which need root, or start the program with llamactl.",
            )
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    features = next((line for line in status.splitlines() if line.startswith("x86_Thread_features:")), "")
    if "shstk" in features:
        raise LlamactlError(
            f"process {pid} runs with a shadow stack (CET), which breakpoints would violate",
            "Use uprobes, which need root.",
        )
