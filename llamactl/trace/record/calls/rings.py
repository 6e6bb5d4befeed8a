"""The perf rings for calls and reads: beside any engine, since perf events don't get in each other's way."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.trace.capture.record import RECORD
from llamactl.trace.record.syscalls import refusal
from llamactl.trace.record.syscalls.native import batch_of, ffi, lib
from llamactl.trace.record.world import allow_many_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = 32
RING_BYTES = 4 << 20
STARTED_BLOCKS, STARTED_RING_BYTES = 4, 1 << 20
"""For touches alone, some hundred bytes each."""


class Rings:
    """The rings of one program's threads, one per CPU.

    Args:
        pid: The program; None for one that will be started, whose rings :class:`Watching` opens.
        points: ``struct points``, which become the recorder's; None for no calls.
        ids: The tracepoints of the uprobes at entry and return; zeros for none.

    Raises:
        LlamactlError: perf events are refused; the message says why and what helps.
    """

    def __init__(self, pid: int | None, points: Any = None, ids: tuple[int, int] = (0, 0)) -> None:
        self.pid = pid or 0
        ring = RING_BYTES if pid else STARTED_RING_BYTES
        self._perf: Any = lib.perf_new(BLOCKS if pid else STARTED_BLOCKS, ring, 0, 0, 0, 0, ffi.NULL)
        if self._perf == ffi.NULL:
            raise MemoryError("no memory for the recorder")
        self._totals = (0, 0)
        lib.perf_boundary(self._perf, ffi.NULL if points is None else points, *ids)
        self._filter = ffi.new("char[]", b"")
        if pid is None:
            allow_many_files()
            return
        try:
            self._open()
        except LlamactlError:
            self.close()
            raise

    def _open(self) -> None:
        """Open the events of all threads; they record from :meth:`begin` on."""
        allow_many_files()
        seen: set[int] = set()
        # Threads may start while the list is read; those of threads seen before are followed by the kernel.
        while new := threads(self.pid) - seen:
            for tid in new:
                code = lib.perf_open(self._perf, tid, 0, self._filter, self._filter)
                if code and code != -errno.ESRCH:
                    raise refusal.perf_refused(-code, refusal.read_rights())
            seen |= new

    def begin(self) -> None:
        """Record from now on; a second time does nothing."""
        if not lib.perf_running(self._perf):
            lib.perf_start(self._perf, 1, self.pid)

    @property
    def perf(self) -> Any:
        """The C recorder."""
        return self._perf

    def take(self) -> NDArray[np.void]:
        """Return what has come in since, a copy (dtype ``RECORD``)."""
        parts = []
        while (block := lib.perf_take(self._perf, 0)) != ffi.NULL:
            parts.append(batch_of(block).records.copy())
            lib.perf_give_back(self._perf, block)
        return np.concatenate(parts) if parts else np.empty(0, RECORD)

    def stop(self) -> NDArray[np.void]:
        """Record no more, and return what is left, with the calls that never returned."""
        if not lib.perf_running(self._perf):
            return np.empty(0, RECORD)
        lib.perf_stop(self._perf)
        parts = []
        while not self.finished:
            parts.append(self.take())
            os.sched_yield()
        return np.concatenate([*parts, self.take()])

    def watch(self, which: int, address: int) -> None:
        """Watch the float at ``address`` on every thread there is, and on those they start.

        Raises:
            LlamactlError: The processor's debug registers can't be had.
        """
        for tid in threads(self.pid):
            code = lib.perf_watch(self._perf, tid, which, address)
            if code and code != -errno.ESRCH:
                raise _watch_refused(-code)

    def move(self, which: int, address: int) -> None:
        """Watch another address instead.

        Raises:
            LlamactlError: It was refused.
        """
        code = lib.perf_watch_move(self._perf, which, address)
        if code:
            raise _watch_refused(-code)

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return bool(lib.perf_done(self._perf))

    @property
    def lost(self) -> int:
        """How many records were lost."""
        return self._totals[0] if self._perf is None else int(lib.perf_lost(self._perf))

    @property
    def inner(self) -> int:
        """How many calls were llama.cpp's to itself; they aren't recorded."""
        return self._totals[1] if self._perf is None else int(lib.perf_inner(self._perf))

    def close(self) -> None:
        """Close every event."""
        if self._perf is not None:
            self._totals = (self.lost, self.inner)
            lib.perf_free(self._perf)
            self._perf = None


def threads(pid: int) -> set[int]:
    """Return the ids of a process's threads.

    Raises:
        LlamactlError: It has ended.
    """
    try:
        return set(proc_pid.threads_of(pid))
    except OSError as error:
        raise LlamactlError(f"there is no process {pid}") from error


def _watch_refused(code: int) -> LlamactlError:
    if code in (errno.ENOSPC, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL):
        return LlamactlError(
            f"no debug register is free to watch a buffer: {os.strerror(code)}",
            "A debugger or another tracer may use them, or this virtual machine has none.",
        )
    return refusal.perf_refused(code, refusal.read_rights())
