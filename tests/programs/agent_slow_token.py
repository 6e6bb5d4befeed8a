"""agent_slow_token.py LIBRARY WHY: 40 tokens of about 2 ms, the 20th made slow on purpose."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import time

LIBRARY, WHY = sys.argv[1:3]
TOKENS, SLOW, EXTRA_MS = 40, 20, 60


with contextlib.suppress(PermissionError):
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # What else runs here isn't to make tokens slow.


class Batch(ctypes.Structure):
    """struct llama_batch."""

    _fields_ = (("n_tokens", ctypes.c_int32), ("token", ctypes.c_void_p), ("rest", ctypes.c_void_p * 5))


released = ctypes.CDLL(LIBRARY)
held = ctypes.PyDLL(LIBRARY)
busy = ctypes.c_int32.in_dll(released, "llama_decode_busy_us")
away = ctypes.c_int32.in_dll(released, "llama_decode_away_us")
released.llama_sampler_sample.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)
token = (ctypes.c_int32 * 1)(1)
batch = Batch(1, ctypes.addressof(token))


def hold() -> None:
    """Hold the GIL for longer than the decode sleeps, once it does."""
    released.llama_await_sleeper()
    held.llama_sleep_us(EXTRA_MS * 3000)


def compute() -> None:
    """Compute in Python."""
    end = time.thread_time() + EXTRA_MS / 1000
    while time.thread_time() < end:
        sum(range(50))


other = threading.Thread(target=hold)
if WHY == "gil":
    other.start()
for number in range(TOKENS):
    slow = number == SLOW
    busy.value = 2000 + (EXTRA_MS * 1000 if slow and WHY == "computing" else 0)
    # For the GIL the decode leaves the other thread time to take it, and that one keeps it for longer.
    away.value = {"blocked": EXTRA_MS, "gil": EXTRA_MS // 2}.get(WHY, 0) * 1000 if slow else 0
    released.llama_decode(None, batch)
    released.llama_sampler_sample(EXTRA_MS * 1000 if slow and WHY == "sampler" else 10, None, 0)
    if slow and WHY == "python":
        compute()
    if slow and WHY == "other":
        released.llama_sleep_us(EXTRA_MS * 1000)
if WHY == "gil":
    other.join()
threading.Event().wait(0.1)  # With real-time priority we left llamactl no CPU to look at us.
