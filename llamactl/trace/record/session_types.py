"""What a recording is asked for, what it tells meanwhile, and how it went."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.record.syscalls.base import Command

if TYPE_CHECKING:
    from llamactl.errors import LlamactlError


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to record.

    Attributes:
        engine: One of ``syscalls.choose.RECORDERS``; None chooses.
        selection: Numbers of the system calls to record; None for all.
        faults: Record page faults where the engine can.
        duration_s: Stop recording after so long; None for never.
        limit_records: Stop recording after so many records.
        limit_bytes: Stop recording when the capture is so large.
        sample_s: How often memory, threads and bytes read are sampled; 0 for never.
        marks: Pass the program a pipe for phase marks (see ``marks``).
        keep_argv: Whether the arguments of the program, and of those it starts, are kept in the capture;
            prompts of ``llamactl run`` never are.
        calls: Calls into llama.cpp and the GIL: by the agent in a program that is started, from outside
            (uprobes, breakpoints) in one that runs already.
        breakpoints: They may be caught by breakpoints: where uprobes are refused or see no ends, and where
            the agent can't be loaded (static programs, musl).
        watch: Watch who reads the buffers that llama.cpp hands out. None: in a program that is started, for
            a while, where perf events can do it.
        children: Of a process that runs already, record the descendants that it has, too.
    """

    engine: str | None = None
    selection: frozenset[int] | None = None
    faults: bool = True
    duration_s: float | None = None
    limit_records: int | None = None
    limit_bytes: int | None = None
    sample_s: float = 0.1
    marks: bool = False
    keep_argv: bool = True
    calls: bool = False
    breakpoints: bool = False
    watch: bool | None = None
    children: bool = False

    def asks(self, target: Command | int) -> bool:
        """Whether the program is to stop where it hands out a buffer that is to be watched."""
        return isinstance(target, Command) and self.calls and self.watch is not False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is.

    ``left`` are the processes that go on after the program itself has ended: (number, name).
    """

    pid: int
    elapsed_s: float
    records: int
    capture_bytes: int
    lost: int
    left: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SessionResult:
    """How a recording went.

    Attributes:
        engine: The engine's name.
        reasons: Why a better engine wasn't used.
        blind: What the engine can't see.
        notes: What turned out to be different from the plan.
        pid: The program's process.
        exit_code: The program's own exit status, 128 + N for signal N; None when it still runs or wasn't ours.
        ended: ``exit``, ``duration``, ``limit``, ``interrupt`` or ``error`` (the capture couldn't be written).
        complete: Whether everything from start to end is in the capture.
        records: How many records.
        lost: How many were lost.
        traced_s: Seconds from the program's start, or from attaching, to the end of recording.
        recorder_cpu_s: CPU time of this process meanwhile, all its threads together.
        per_record_ns: What a record costs the program, calibrated; None when it couldn't be told.
        error: Why the capture couldn't be written any further.
    """

    engine: str
    reasons: tuple[str, ...]
    blind: tuple[str, ...]
    notes: tuple[str, ...]
    pid: int
    exit_code: int | None
    ended: str
    complete: bool
    records: int
    lost: int
    traced_s: float
    recorder_cpu_s: float
    per_record_ns: float | None
    error: LlamactlError | None = None


def exit_code(wait_status: int) -> int:
    """Return a program's exit status as shells give it: 128 + N for signal N."""
    code = os.waitstatus_to_exitcode(wait_status)
    return 128 - code if code < 0 else code
