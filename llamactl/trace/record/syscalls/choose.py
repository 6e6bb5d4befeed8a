"""Choose an engine: the best that the machine allows, and the reasons against better ones."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

from llamactl.errors import LlamactlError, UsageError
from llamactl.process.cpu_budget import cpu_budget
from llamactl.remedy import install
from llamactl.trace.decode.table import arch_of, numbers
from llamactl.trace.record.syscalls.base import Command, Engine, Options
from llamactl.trace.record.syscalls.native import ffi, lib

RECORDERS = ("perf", "ptrace", "python")
"""In the order in which they are tried when nobody names one; ``python`` is never chosen unasked."""

STOPS_A_CALL = 2
PLAIN_LOOPS = 3
"""The least of so many: what else the machine does only adds to it."""
LOOPS = {"perf": 5000, "ptrace": 500, "python": 200}
POLL_S = 0.05
LOOP_SYSTEM_CALL = numbers(arch_of(platform.machine())).get("getppid", 110)


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine ready to be used.

    Attributes:
        engine: Not started yet.
        reasons: Why a better engine wasn't chosen, as sentences; empty when the best one was.
        per_record_ns: What a recorded call cost the calibration loop beyond an unrecorded one; None when the
            machine was too busy to tell.
        plain_call_ns: What the call costs unrecorded.
        per_stop_ns: What a stop costs at which strings are read for an engine that needs no stops; None where
            there are none.
    """

    engine: Engine
    reasons: tuple[str, ...]
    per_record_ns: float | None
    plain_call_ns: float
    per_stop_ns: float | None = None


def make_engine(name: str, options: Options, with_strings: bool = True) -> Engine:
    """Return a new engine.

    Raises:
        UsageError: There is no engine of that name.
        LlamactlError: It can't be used here; the message says why and what helps.
    """
    # Each engine is imported only when it is used: python-ptrace needn't be there for the others.
    if name == "ptrace":
        from llamactl.trace.record.syscalls.ptrace import PtraceEngine

        return PtraceEngine(options)
    if name == "perf":
        from llamactl.trace.record.syscalls.perf import PerfEngine

        return PerfEngine(options, with_strings)
    if name == "python":
        return _python_engine(options)
    raise UsageError(f"there is no recorder {name!r}", f"Recorders are {', '.join(RECORDERS)}.")


def choose_engine(name: str | None, options: Options, attach: bool) -> Choice:
    """Return the engine named, or the first that works here.

    Each candidate records a short loop first, which shows whether the kernel allows it and what a record
    costs. ``perf`` isn't chosen for attaching where it would have no strings then.

    Raises:
        LlamactlError: None works; the message is of the engine named, or of the last one tried.
    """
    # What keeps a CPU awake counts against the quota, which the program needs for itself.
    lib.awake_allow(cpu_budget().quota_cpus is None)
    candidates = (name,) if name else ("perf", "ptrace")
    reasons: list[str] = []
    failure: LlamactlError | None = None
    plain = min(_plain_call_ns() for _ in range(PLAIN_LOOPS))
    for candidate in candidates:
        try:
            cost = calibrate(candidate, options, plain)
            refused, per_stop = _stops_for_strings(candidate, attach, plain)
            engine = make_engine(candidate, options, with_strings=not refused)
            if attach and not name and not engine.strings_when_attached:
                engine.close()
                continue
            if refused:
                reasons.append(f"{engine.without_stops}: {refused}")
            return Choice(engine, tuple(reasons), cost, plain, per_stop)
        except LlamactlError as error:
            if isinstance(error, UsageError):
                raise
            reasons.append(str(error))
            failure = error
    assert failure is not None
    raise failure


def calibrate(name: str, options: Options, plain_call_ns: float) -> float | None:
    """Record a loop of system calls and return what one costs beyond ``plain_call_ns``: the least of several short loops.

    None when the machine was too busy to tell.

    Raises:
        LlamactlError: The engine can't be used here.
    """
    selection = None if options.selection is None else frozenset({LOOP_SYSTEM_CALL})
    engine = make_engine(name, Options(selection, faults=False, loops=LOOPS[name]))
    try:
        engine.start(Command(("loop",)))
        finished = False
        while not finished:
            finished = engine.state().finished
            engine.poll(POLL_S)
        loop_ns = engine.state().loop_ns
    finally:
        engine.close()
    cost = loop_ns / LOOPS[name] - plain_call_ns
    return cost if cost > 0 else None


def _stops_for_strings(name: str, attach: bool, plain_call_ns: float) -> tuple[str, float | None]:
    """Return why the engine can't have stops at which strings are read ("": it can), and what one costs."""
    if name != "perf" or attach:
        return "", None
    try:
        cost = calibrate("ptrace", Options(frozenset({LOOP_SYSTEM_CALL})), plain_call_ns)
    except LlamactlError as error:
        return str(error), None
    return "", None if cost is None else cost / STOPS_A_CALL


def _python_engine(options: Options) -> Engine:
    try:
        from llamactl.trace.record.syscalls.python import PythonEngine
    except ImportError as error:
        raise LlamactlError("the recorder python needs python-ptrace", install("python-ptrace")) from error
    return PythonEngine(options)


def _plain_call_ns() -> float:
    loops = LOOPS["perf"]
    null = ffi.NULL
    child = ffi.new("struct launched *")
    if lib.launch_start(child, null, null, null, null, null, 0, 0, loops):
        return 0.0
    loop_ns = ffi.new("uint64_t *")
    lib.launch_open_gate(child)
    lib.launch_answer(child, ffi.new("int *"), ffi.new("int *"), loop_ns)
    lib.launch_end(child)
    os.waitpid(child.pid, 0)
    return float(loop_ns[0]) / loops
