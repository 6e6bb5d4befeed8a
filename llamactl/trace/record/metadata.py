"""What a capture says about its recording."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamactl import __version__
from llamactl.process import proc_pid
from llamactl.process.cpu_budget import cpu_budget
from llamactl.process.files.device_nodes import gpu_nodes
from llamactl.process.proc_text import proc_lines
from llamactl.process.threads.pools import placement
from llamactl.trace.record.arguments import kept_arguments
from llamactl.trace.record.clocked.sampler import COUNTERS
from llamactl.trace.record.syscalls.base import Command, State

if TYPE_CHECKING:
    from llamactl.trace.record.session_types import SessionResult
    from llamactl.trace.record.syscalls.choose import Choice

SCHEMA_VERSION = 1


def opening_facts(
    target: Command | int, choice: Choice, selection: frozenset[int] | None, keep_argv: bool
) -> dict[str, Any]:
    """Return what is known before the first record."""
    command = target if isinstance(target, Command) else None
    argv = list(command.argv) if command is not None else _argv_of(target)
    return {
        "schema": "llamactl.capture",
        "schema_version": SCHEMA_VERSION,
        "llamactl": __version__,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "argv": kept_arguments(argv, keep_argv),
        "attached": command is None,
        "clock": "CLOCK_MONOTONIC",
        "clock_offset_ns": time.time_ns() - time.monotonic_ns(),
        "engine": choice.engine.name,
        "blind": list(choice.engine.blind),
        "reasons": list(choice.reasons),
        "selection": None if selection is None else sorted(selection),
        "counters": list(COUNTERS),
        "cpu_budget": asdict(cpu_budget(None if command is not None else int(target))),  # type: ignore[arg-type]
        "thread_placement": _thread_placement(target),
        "gpu_nodes": gpu_nodes(),
        "complete": False,
    }


def closing_facts(
    result: SessionResult,
    state: State,
    plain_call_ns: float,
    per_stop_ns: float | None,
) -> dict[str, Any]:
    """Return what is known after the last record."""
    return {
        "pid": result.pid,
        "exit_code": result.exit_code,
        "ended": result.ended,
        "lost": result.lost,
        "notes": list(result.notes),
        "cost": {
            "per_record_ns": result.per_record_ns,
            "plain_call_ns": plain_call_ns,
            "stops": state.stops,
            "per_stop_ns": per_stop_ns,
            "recorder_cpu_s": result.recorder_cpu_s,
            "traced_s": result.traced_s,
        },
    }


def compared_facts(
    metadata: dict[str, Any], result: SessionResult, untraced: tuple[float, int] | None
) -> dict[str, Any]:
    """Return what a run without tracing adds: both times and their ratio, or a note why there is none.

    Args:
        metadata: The capture's so far.
        result: How the recording went.
        untraced: Seconds and exit status of the run without tracing; None when it wasn't made.
    """
    cost = dict(metadata.get("cost") or {}) | {"traced_s": result.traced_s}
    if untraced is None:
        why = f"the recording ended before the program did ({result.ended})"
    elif untraced[1] != result.exit_code:
        why = (
            f"the run without tracing ended with status {untraced[1]}, the traced one with {result.exit_code}"
        )
    else:
        return {"cost": {**cost, "untraced_s": untraced[0], "ratio": result.traced_s / untraced[0]}}
    return {"notes": [*metadata.get("notes", []), f"no ratio to an untraced run: {why}"]}


def _thread_placement(target: Command | int) -> dict[str, str] | None:
    """Return the variables that place threads, as the program was given them; None where that can't be read."""
    if isinstance(target, Command):
        return placement(os.environ if target.env is None else target.env)
    try:
        words = proc_pid.read(target, "environ").split(b"\0")
    except OSError:
        return None
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return placement({name: value for name, _, value in pairs})


def _cpu_name() -> str | None:
    try:
        lines = proc_lines(Path("/proc/cpuinfo").read_bytes())
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _argv_of(pid: Command | int) -> list[str] | None:
    try:
        data = proc_pid.read(pid, "cmdline") if isinstance(pid, int) else b""
    except OSError:
        return None
    return [os.fsdecode(part) for part in data.split(b"\0")[:-1]]
