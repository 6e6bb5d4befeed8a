"""System calls and faults belong to the call they began in."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from agent_support import Trace, exchange_of
from numpy.typing import NDArray

from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.mechanisms.interface.attribution import (
    OUTSIDE,
    FunctionWork,
    owners,
    woken_by,
    work_by_function,
)
from llamactl.trace.mechanisms.interface.exchange import Exchange

FUNCTIONS = [Function(name, "/b", "/l", "dlsym") for name in ("llama_decode", "llama_n_ctx")]

TOUCH = """
import ctypes, mmap, sys
library = ctypes.CDLL(sys.argv[1])
pages = 300
library.llama_state_get_data.restype = ctypes.c_size_t
library.llama_state_get_data.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
def memory():
    return mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
def fill(where):
    address = ctypes.addressof(ctypes.c_char.from_buffer(where))
    assert library.llama_state_get_data(None, address, len(where)) == len(where)
warm, measured = memory(), memory()
fill(warm)
fill(measured)
fill(measured)
"""


def rows(*items: tuple[Kind, int, int, int, int]) -> NDArray[np.void]:
    """Records of (kind, nr, tid, start, duration); duration -1 for one without an end."""
    records = np.zeros(len(items), RECORD)
    for record, (kind, nr, tid, start, duration) in zip(records, items, strict=True):
        record["kind"], record["nr"], record["tid"], record["pid"], record["start"] = kind, nr, tid, 1, start
        record["duration"] = max(duration, 0)
        record["flags"] = Flag.NO_EXIT if duration < 0 else 0
    return records


def exchange(*items: tuple[int, int, int, int]) -> Exchange:
    return Exchange.of([rows(*((Kind.CALL, *item) for item in items))], FUNCTIONS, lambda _: b"")


def test_the_innermost_call_owns() -> None:
    # decode 100-200 with n_ctx 120-140 inside, n_ctx 300-310, decode 400- without an end
    calls = exchange((0, 1, 100, 100), (1, 1, 120, 20), (1, 1, 300, 10), (0, 1, 400, -1))
    moments = (50, 100, 119, 120, 139, 140, 199, 200, 305, 310, 500)
    records = rows(*((Kind.SYSCALL, 0, 1, moment, 1) for moment in moments))
    assert owners(calls, records).tolist() == [OUTSIDE, 0, 0, 1, 1, 0, 0, OUTSIDE, 2, OUTSIDE, OUTSIDE]


def test_workers_belong_to_the_only_call_under_way() -> None:
    # thread 1: decode 100-200; thread 2: decode 150-250, so between 150 and 200 nobody can tell
    calls = exchange((0, 1, 100, 100), (0, 2, 150, 100))
    records = rows(*((Kind.SYSCALL, 0, 9, moment, 1) for moment in (90, 120, 170, 220, 260)))
    assert owners(calls, records).tolist() == [OUTSIDE] * 5
    assert woken_by(calls, records).tolist() == [OUTSIDE, 0, OUTSIDE, 1, OUTSIDE]


def test_threads_of_python_are_nobodys_workers() -> None:
    # The process's first thread (1), one that lets the GIL go (8), and a worker (9) during a decode of thread 2
    calls = rows((Kind.CALL, 0, 2, 100, 100), (Kind.GIL, 0, 8, 110, 5))
    records = rows(*((Kind.SYSCALL, 0, tid, 150, 1) for tid in (1, 8, 9)))
    seen = Exchange.of([calls], FUNCTIONS, lambda _: b"")
    assert woken_by(seen, records).tolist() == [OUTSIDE, OUTSIDE, 0]


def test_work_adds_up_by_function() -> None:
    calls = exchange((0, 1, 100, 100), (1, 1, 300, 10), (0, 1, 400, 100))
    records = rows(
        (Kind.SYSCALL, 0, 1, 110, 5),
        (Kind.SYSCALL, 0, 1, 410, 7),
        (Kind.FAULT, 0, 1, 420, 0),
        (Kind.FAULT, 1, 9, 430, 0),
        (Kind.SYSCALL, 0, 1, 305, 1),
        (Kind.SYSCALL, 0, 1, 600, 90),
    )
    assert work_by_function(calls, records) == [
        FunctionWork("llama_decode", 2, 12, 1, 1),
        FunctionWork("llama_n_ctx", 1, 1, 0, 0),
        FunctionWork(None, 1, 90, 0, 0),
    ]
    assert work_by_function(exchange(), rows()) == []
    assert work_by_function(exchange(), records[:1]) == [FunctionWork(None, 1, 5, 0, 0)]


def test_a_calls_own_faults_are_counted_by_the_kernel(built: Path, traced: Trace) -> None:
    """The first call also brings in the library's code and libc's; by the second one they are there."""
    result = traced(sys.executable, "-c", TOUCH, built / "libllama.so")
    assert result.returncode == 0, result.err
    found = exchange_of(result)
    calls = found.calls[found.named("llama_state_get_data")]
    faults = found.argument(calls, "faults")
    assert faults is not None
    minor, major = (faults & 0xFFFFFFFF).tolist(), (faults >> 32).tolist()
    assert minor[0] + major[0] >= 300
    assert (minor[1], major[1]) == (300, 0), "each page once"
    assert (minor[2], major[2]) == (0, 0)
    assert calls["ret"].tolist() == [300 * 4096] * 3
