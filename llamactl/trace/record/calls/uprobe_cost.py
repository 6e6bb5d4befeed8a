"""What a call costs that uprobes catch, measured here and now on functions of our own.

It depends on the function's first instruction: the kernel emulates some of them, and executes others elsewhere, one
step at a time, which is several times as dear (``arch/x86/kernel/uprobes.c``). That step lies between the two
samples of a call, and so within its recorded duration.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llamactl.process.memory.maps import ProcessMaps
from llamactl.trace.record.calls.points import new_points
from llamactl.trace.record.calls.rings import Rings
from llamactl.trace.record.calls.uprobe_events import UprobeEvents
from llamactl.trace.record.syscalls.native import ffi, lib

EMULATED, MARKED, STEPPED = 0, 1, 2
"""``native/calls/probe_loop.h``: functions that begin with what is emulated (push, nop), with endbr64 or bti, or
with anything else."""
KINDS = (EMULATED, MARKED, STEPPED)
LOOPS = 1000
READ_BYTES = 4
BTI = {0xD503245F, 0xD503249F, 0xD50324DF}
NOP, PACIASP = 0xD503201F, 0xD503233F


@dataclass(frozen=True, slots=True)
class UprobeCost:
    """What the two uprobes of one call cost, ns.

    Attributes:
        per_call_ns: How much longer the program takes for a call.
        inside_ns: How much of it lies within the recorded duration.
    """

    per_call_ns: float
    inside_ns: float


def calibrate_uprobes() -> tuple[UprobeCost, ...] | None:
    """Return what a call of each of ``KINDS`` costs; None where the machine is too busy to tell.

    Raises:
        LlamactlError: Uprobes are refused.
    """
    addresses = [int(ffi.cast("uintptr_t", lib.probe_function(kind))) for kind in KINDS]
    maps = ProcessMaps(os.getpid())
    pieces = [maps.find(address) for address in addresses]
    places = {
        (str(maps.readable(piece.path)), address - piece.start + piece.offset)
        for piece, address in zip(pieces, addresses, strict=True)
        if piece is not None
    }
    events = UprobeEvents(places, places)
    try:
        points = new_points(
            [{"nr": kind, "address": addresses[kind], "returns": b"\0"} for kind in KINDS], ()
        )
        rings = Rings(os.getpid(), points, events.ids)
        try:
            rings.begin()
            for kind in KINDS:
                lib.probe_loop(kind, LOOPS)
            records = rings.stop()
        finally:
            rings.close()
    finally:
        events.close()
    found = [_cost(records[records["nr"] == kind]) for kind in KINDS]
    return tuple(cost for cost in found if cost is not None) if None not in found else None


def _cost(records: NDArray[np.void]) -> UprobeCost | None:
    """Return the cost by the middle of the loop's steps: one that was preempted says nothing.

    The function itself takes a nanosecond.
    """
    if len(records) < LOOPS // 2:
        return None
    whole = float(np.median(np.diff(np.sort(records["start"]).astype(np.int64))))
    return UprobeCost(whole, min(float(np.median(records["duration"])), whole))


def kinds_of(places: Sequence[tuple[str, int]]) -> NDArray[np.intp]:
    """Return for each function, by its file and the offset in it, which of ``KINDS`` it is."""
    return np.array([_kind(_begin(path, offset)) for path, offset in places], np.intp)


def _begin(path: str, offset: int) -> bytes:
    try:
        with Path(path).open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(READ_BYTES)
    except OSError:
        return b""


def _kind(code: bytes) -> int:
    if platform.machine() == "x86_64":
        push = code[1:] if code[:1] == b"\x41" else code
        if code == b"\xf3\x0f\x1e\xfa":
            return MARKED
        return EMULATED if code[:1] == b"\x90" or (push and 0x50 <= push[0] <= 0x57) else STEPPED
    word = int.from_bytes(code, "little")
    return MARKED if word in BTI else EMULATED if word in {NOP, PACIASP} else STEPPED
