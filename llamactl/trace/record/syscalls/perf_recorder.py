"""Where the engine ``perf`` gets system calls from: BPF programs of our own, or else tracepoints."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from llamactl.process import proc_pid
from llamactl.trace.decode.table import ARCH_NAMES
from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.base import Options
from llamactl.trace.record.syscalls.native import ASK, ffi, lib, selection_bits
from llamactl.trace.record.syscalls.texts import HIGHEST, numbers_of_new_programs, numbers_told_on_entry
from llamactl.trace.record.syscalls.tracepoints import number_filter, tracepoint_ids

BLOCKS = 96
RING_BYTES = 16 << 20
SIDE_RING_BYTES = 4 << 20
"""For page faults, mappings and births alone."""
CALIBRATION_RING_BYTES = 1 << 20
SIGRETURN_LEAVES = "id==-1"
ALL_NUMBERS = frozenset(range(HIGHEST))
PID_NAMESPACE = proc_pid.place("self", "ns/pid")
INITIAL_NAMESPACE = 0xEFFFFFFC
"""The first pid namespace's inode (``PROC_PID_INIT_INO`` of linux/proc_ns.h)."""
MACHINES = ARCH_NAMES


@dataclass(frozen=True, slots=True)
class Recorder:
    """The C recorder, before anything is opened.

    Attributes:
        perf: ``struct perf *``, to be freed with ``perf_free``.
        filters: Tracepoint filters for entry and exit, which must live as long as it does.
        stopped: The calls that ptrace has to stop at: it records them, or reads their strings.
        refused: Why BPF programs can't be used, in half a sentence; "" where they are.
    """

    perf: Any
    filters: tuple[Any, Any]
    stopped: frozenset[int]
    refused: str


def make_recorder(options: Options, stopped: frozenset[int], births: bool) -> Recorder:
    """Return the best recorder that the kernel allows here.

    Args:
        options: What to record.
        stopped: The calls at which ptrace may stop the program; empty where there is no ptrace.
        births: Whether births and ends of threads are recorded; otherwise ptrace does.

    Raises:
        LlamactlError: The tracepoints can't be had either, with the remedy.
    """
    by_ptrace = stopped & numbers_of_new_programs()
    chosen = ALL_NUMBERS if options.selection is None else options.selection
    perf = _new(options, (0, 0), chosen - _not_ours(options, by_ptrace), births, SIDE_RING_BYTES)
    refused = _attach_programs(perf, CALIBRATION_RING_BYTES if options.loops else RING_BYTES)
    if not refused:
        return Recorder(perf, (ffi.new("char[]", b""), ffi.new("char[]", b"")), by_ptrace, "")
    lib.perf_free(perf)
    by_ptrace = stopped - numbers_told_on_entry()
    mine = None if options.selection is None else options.selection - by_ptrace
    perf = _new(options, tracepoint_ids(), mine, births, RING_BYTES)
    allowed = number_filter(options.selection, _not_ours(options, by_ptrace))
    leaves = f"{allowed}||{SIGRETURN_LEAVES}" if allowed else ""
    return Recorder(
        perf, (ffi.new("char[]", allowed.encode()), ffi.new("char[]", leaves.encode())), stopped, refused
    )


def _not_ours(options: Options, by_ptrace: frozenset[int]) -> frozenset[int]:
    return by_ptrace | ({ASK} if options.asks else set())


def _new(
    options: Options, ids: tuple[int, int], selection: frozenset[int] | None, births: bool, ring_bytes: int
) -> Any:
    ring = CALIBRATION_RING_BYTES if options.loops else ring_bytes
    perf = lib.perf_new(BLOCKS, ring, *ids, options.faults, births, selection_bits(selection))
    if perf == ffi.NULL:
        raise MemoryError("no memory for the recorder")
    return perf


def _attach_programs(perf: Any, ring_bytes: int) -> str:
    """Let BPF programs record the system calls; return why they can't, or ""."""
    if platform.machine() not in MACHINES:
        return f"they aren't made for {platform.machine()}"
    try:
        inside = PID_NAMESPACE.stat().st_ino != INITIAL_NAMESPACE
    except OSError as error:
        return f"{PID_NAMESPACE} can't be read ({error.strerror})"
    if inside:
        return "in a pid namespace (a container) the ids that they see are others"
    code = lib.perf_calls(perf, ring_bytes)
    return refusal.programs_refused(-code, refusal.read_rights()) if code else ""
