"""slow_by_kernel.py LIBRARY WHY [PLACE [OFFSET BYTES]]: 60 tokens of about 3 ms, the 31st held up by the kernel.

PLACE is a control group with a CPU quota for "throttled", the model's file for "faults", the path of a device
node that isn't there yet for "gpu".
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
import threading
import time
from pathlib import Path

LIBRARY, WHY, *MORE = sys.argv[1:]
TOKENS, SLOW, EXTRA_S = 60, 30, 0.15
MAIN_CPU, OTHER_CPU = sorted(os.sched_getaffinity(0))[:2]


pass_time = threading.Event().wait
"""Nobody sets the event: how long things take is what this program is about."""


def helper(cpu: int | None, work) -> int:  # type: ignore[no-untyped-def]
    """Fork a process that does its work a millisecond after a byte came; return where to write it."""
    read, write = os.pipe()
    ready, say_ready = os.pipe()
    if os.fork():
        os.close(read)
        os.close(say_ready)
        os.read(ready, 1)
        return write
    os.close(write)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    os.write(say_ready, b"r")
    if os.read(read, 1):
        pass_time(0.001)
        work()
    os._exit(0)


def hog() -> None:
    """Keep the CPU from everybody else."""
    end = time.monotonic() + EXTRA_S
    while time.monotonic() < end:
        pass


def answer() -> None:
    """Write what the decode waits for."""
    pass_time(EXTRA_S)
    Path(MORE[0]).write_bytes(b"x")


def set_quota(period_us: int, quota_us: int) -> None:
    """Give the control group so much CPU time per period; a quota of -1 for no limit."""
    group = Path(MORE[0])
    if (group / "cpu.max").exists():
        (group / "cpu.max").write_text(f"{quota_us if quota_us > 0 else 'max'} {period_us}")
    else:
        (group / "cpu.cfs_quota_us").write_text("-1")
        (group / "cpu.cfs_period_us").write_text(str(period_us))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))


def evict(model: mmap.mmap, file: int) -> None:
    """Drop the file's pages from this process and from memory."""
    model.madvise(mmap.MADV_DONTNEED)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


class Batch(ctypes.Structure):
    """struct llama_batch."""

    _fields_ = (("n_tokens", ctypes.c_int32), ("token", ctypes.c_void_p), ("rest", ctypes.c_void_p * 5))


start = -1
if WHY in {"preempted", "migrated", "barrier"}:
    start = helper(MAIN_CPU if WHY == "preempted" else OTHER_CPU, hog)
if WHY == "gpu":
    os.mkfifo(MORE[0])
    start = helper(None, answer)

os.environ["OMP_WAIT_POLICY"] = "passive"  # Spinning with real-time priority takes the CPUs from everybody.
library = ctypes.CDLL(LIBRARY)
one = (ctypes.c_int32 * 1)(1)
batch = Batch(1, ctypes.addressof(one))


def setting(name: str) -> ctypes.c_int32:
    """Return a variable of the library."""
    return ctypes.c_int32.in_dll(library, name)


with contextlib.suppress(PermissionError):
    # What else runs here isn't to make tokens slow; but quotas are for ordinary processes.
    if WHY == "throttled":
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    else:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
os.sched_setaffinity(0, {MAIN_CPU})
if WHY in {"barrier", "stopped"}:
    setting("llama_threads").value = 2
if WHY == "throttled":
    (Path(MORE[0]) / "cgroup.procs").write_text(str(os.getpid()))
if WHY == "faults":
    file = os.open(MORE[0], os.O_RDONLY)
    model = mmap.mmap(file, 0, mmap.MAP_SHARED, mmap.PROT_READ)
    model.madvise(mmap.MADV_RANDOM)
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    address = libc.mmap(None, os.path.getsize(MORE[0]), mmap.PROT_READ, mmap.MAP_SHARED, file, 0)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.madvise(address, os.path.getsize(MORE[0]), mmap.MADV_RANDOM)
if WHY == "gpu":
    device = os.open(MORE[0], os.O_RDWR)

for number in range(TOKENS):
    if number == 5 and WHY in {"barrier", "stopped"}:
        os.sched_setaffinity(setting("llama_worker").value, {OTHER_CPU})
    if number == SLOW:
        if start >= 0:
            os.write(start, b"x")
        if WHY == "migrated":
            os.sched_setaffinity(0, {OTHER_CPU})
        if WHY == "stopped":
            library.llama_pause_worker(int(EXTRA_S * 1000))
        if WHY == "throttled":
            set_quota(50_000, 1000)
        if WHY == "faults":
            evict(model, file)
            ctypes.c_void_p.in_dll(library, "llama_touch").value = address + int(MORE[1])
            ctypes.c_size_t.in_dll(library, "llama_touch_bytes").value = int(MORE[2])
        if WHY == "gpu":
            setting("llama_wait_fd").value = device
    library.llama_decode(None, batch)
    if number == SLOW:
        ctypes.c_size_t.in_dll(library, "llama_touch_bytes").value = 0
        setting("llama_wait_fd").value = -1
        if WHY == "throttled":
            set_quota(50_000, -1)
if start >= 0:
    os.close(start)
    os.wait()
pass_time(0.2)  # With real-time priority we left llamactl no CPU to look at us.
