"""Breakpoints: calls of a running program are caught by int3, in the thread of the engine ``ptrace``.

Only when asked for: should llamactl be killed (SIGKILL), the breakpoints stay behind and the program dies
at the next one. Uprobes don't have this fault.
"""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.record.buffers.watch import without_own
from llamactl.trace.record.buffers.watching import Watching
from llamactl.trace.record.calls.calls import CallTable
from llamactl.trace.record.calls.lookout import Lookout
from llamactl.trace.record.calls.points import new_points, point_of
from llamactl.trace.record.calls.scratch import find_scratch
from llamactl.trace.record.calls.targets import LOADING, UNWINDERS, Found, Kept, Tables, find_targets, kept_of
from llamactl.trace.record.syscalls.native import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from llamactl.trace.record.syscalls.ptrace import PtraceEngine

WARNING = (
    "breakpoints are in the program while it is traced: if llamactl is killed with SIGKILL,"
    " the program dies at its next call into llama.cpp"
)
NOT_YET = "llama.cpp isn't loaded yet: breakpoints follow when it is"
GLIBC = "ld-linux"


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

    Libraries that are loaded later get theirs while the program waits in its dynamic linker.

    Args:
        engine: It mustn't have started or attached.
        names: The functions; None for what ``find_targets`` chooses.
        gil: Whether to catch the GIL's functions as well: two more stops for each.
        watch: Whether to watch the logits with the debug registers.
        agent: Whether programs with glibc's dynamic linker are left to the agent.
        found: Called once, while the program waits, when functions of llama.cpp are first found.

    Raises:
        LlamactlError: Breakpoints can't be used here.
    """

    def __init__(
        self,
        engine: PtraceEngine,
        names: frozenset[str] | None = None,
        gil: bool = False,
        watch: bool = False,
        agent: bool = False,
        found: Callable[[], None] | None = None,
    ) -> None:
        if platform.machine() != "x86_64":
            raise LlamactlError(f"breakpoints aren't made for {platform.machine()}", "Uprobes need root.")
        self._engine = engine
        self._names, self._gil, self._agent = names, gil, agent
        self._wants_watch = watch
        self._watching = Watching(engine, perf=False) if watch else None
        self._last: Any = ffi.new("struct breakpoint_state *")
        self._calls: CallTable | None = None
        self._tables: Tables = {}
        self._known: set[tuple[str, int]] = set()
        self._objects: tuple[tuple[int, str], ...] = ()
        self._idle = False
        self._found = found
        self._lookout = Lookout(engine, self._look)

    def prepare(self, pid: int) -> tuple[str, ...]:
        """Find the functions of a process that the engine will attach to; return notes.

        Raises:
            LlamactlError: Breakpoints can't be used in it, or there is no room for them.
        """
        _refuse(pid, ProcessMaps(pid))
        self._add(pid)
        return () if self.found_engine else (NOT_YET,)

    @property
    def found_engine(self) -> bool:
        """Whether functions of llama.cpp have been found."""
        return self._calls is not None and self._calls.has_engine

    def _look(self, pid: int, executed: bool) -> None:
        """See :class:`Lookout`; the program waits meanwhile."""
        maps = ProcessMaps(pid)
        objects = tuple((piece.start, piece.path) for piece in maps.pieces if piece.executable)
        if executed:
            self._known.clear()
            self._tables.clear()
            self._idle = self._agent and any(
                PurePosixPath(path).name.startswith(GLIBC) for _, path in objects
            )
        elif objects == self._objects:
            return
        self._objects = objects
        if not self._idle:
            _refuse(pid, maps)
            self._forget_gone()
            self._add(pid)

    def _forget_gone(self) -> None:
        gone = ffi.new("uint64_t[]", len(self._known) or 1)
        count = lib.program_points_gone(self._engine.program, gone, len(self._known))
        addresses = {gone[index] for index in range(count)}
        self._known = {key for key in self._known if key[1] not in addresses}

    def _add(self, pid: int) -> None:
        """Give the recorder the functions that it doesn't have yet."""
        found = find_targets(pid, self._names, self._gil, unwinders=True, tables=self._tables)
        targets = tuple(one for one in found.targets if (one.library, one.address) not in self._known)
        if not targets:
            return
        new = replace(found, targets=targets)
        kept = [kept_of(one.name, found.exports.get(one.library, ()), frozenset()) for one in targets]
        start, size = find_scratch(new)
        first = self._number(new, kept)
        rows = [
            point_of(first + index, target, item, self._wants_watch and target.name in LOGITS)
            for index, (target, item) in enumerate(zip(targets, kept, strict=True))
        ]
        for row, target in zip(rows, targets, strict=True):
            row["unwinds"], row["looks"] = target.name in UNWINDERS, target.name == LOADING
        code = lib.program_breakpoints(self._engine.program, new_points(rows, found.ranges), start, size)
        if code:
            raise LlamactlError(f"can't set breakpoints: {os.strerror(code)}")
        if self._found is not None and self.found_engine:
            self._found()
            self._found = None
        self._known |= {(one.library, one.address) for one in targets}

    def _number(self, found: Found, kept: list[Kept | None]) -> int:
        """Add the functions to the table of calls and return the first one's number."""
        if self._calls is None:
            self._calls = CallTable(found, kept)
            return 0
        first = self._calls.count
        self._calls.extend(found, kept)
        return first

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
        if self._calls is None:
            return records
        records = self._calls.translate(records)
        if self._watching is not None:
            self._watching.resolve(records, add)
            records = without_own(records, self._calls.functions)
        return records

    @property
    def notes(self) -> tuple[str, ...]:
        """What went otherwise than planned, as sentences."""
        return (f"breakpoints: {self._lookout.failure}",) if self._lookout.failure else ()

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
        calls = self._calls.metadata() if self._calls is not None else {}
        return {**calls, "boundary": about, **more}

    def _state(self) -> Any:
        """How the breakpoints stand, or stood when the engine was closed."""
        if self._engine.program is not None:
            lib.program_breakpoint_state(self._engine.program, self._last)
        return self._last


def _refuse(pid: int, maps: ProcessMaps) -> None:
    for path in maps.objects():
        if PurePosixPath(path).name.startswith("_greenlet."):
            raise LlamactlError(
                f"process {pid} uses greenlets, which move stacks about: breakpoints could end it",
                "Use uprobes, which need root, or start the program with llamactl.",
            )
    features = proc_pid.status_of(pid).get("x86_Thread_features", "")
    if "shstk" in features:
        raise LlamactlError(
            f"process {pid} runs with a shadow stack (CET), which breakpoints would violate",
            "Use uprobes, which need root.",
        )
