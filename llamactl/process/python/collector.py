"""CPython's garbage collector seen from outside: whether it collects now, and how often it has collected everything.

Nothing is asked of the program and nothing in it changes: its memory is read (``/proc/PID/mem``, which asks for the
same permission as ptrace). Where the collector's state lies is told by the state itself: until 3.13,
``_gc_runtime_state.generation0`` points to ``generations[0]`` in front of it (Include/internal/pycore_gc.h)::

    generations[3]: {next, prev: pointer; threshold, count: int}     at 0, 24 and 48
    generation0: pointer to generations[0]                           at 72
    permanent_generation                                             at 80
    generation_stats[3]: {collections, collected, uncollectable}     at 104, 128 and 152
    collecting: int                                                  at 176

The interpreter that owns it lies in ``_PyRuntime`` since 3.12, and before that where one of its pointers leads.
Later versions, and builds without the GIL, have another collector.
"""

from __future__ import annotations

import os
import struct

import numpy as np

from llamactl.process import proc_pid

FIRST_GENERATION, STATISTICS = 72, 104
LOOKED_AT = struct.Struct("<9qi")
"""The statistics of three generations, and whether it collects."""
INTERPRETER_BYTES = 1 << 16
"""Of an interpreter on the heap, so much is searched; the collector lies within the first pages."""
POINTERS_IN = 4096
"""The pointers to interpreters are in the first bytes of ``_PyRuntime``."""
MOST_POINTERS = 64
LARGEST_THRESHOLD = 1 << 30


class Collector:
    """The collector of one process's main interpreter.

    Args:
        pid: The process.
        runtime: Where its ``_PyRuntime`` lies, from and to.

    Raises:
        LookupError: This Python's collector isn't of the kind that is known, or Python hasn't started yet.
        OSError: The memory may not be read.
    """

    def __init__(self, pid: int, runtime: tuple[int, int]) -> None:
        self._fd = os.open(proc_pid.place(pid, "mem"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._address = self._find(*runtime)
        except BaseException:
            os.close(self._fd)
            raise

    def read(self) -> tuple[bool, int] | None:
        """Return whether it collects now, and how many full collections there have been; None when it is gone."""
        data = self._memory(self._address + STATISTICS, LOOKED_AT.size)
        if len(data) < LOOKED_AT.size:
            return None
        *statistics, collecting = LOOKED_AT.unpack(data)
        return bool(collecting), int(statistics[6])

    def close(self) -> None:
        """Close the memory."""
        os.close(self._fd)

    def _find(self, begin: int, end: int) -> int:
        data = self._memory(begin, end - begin)
        found = self._within(begin, data)
        if found is None:
            words = np.frombuffer(data[:POINTERS_IN], "<u8", len(data[:POINTERS_IN]) // 8)
            heap = np.unique(words[(words > 1 << 16) & (words < 1 << 47) & (words % 16 == 0)]).tolist()
            outside = [word for word in heap if not begin <= word < end]
            for address in outside[:MOST_POINTERS]:
                found = self._within(address, self._memory(address, INTERPRETER_BYTES))
                if found is not None:
                    break
        if found is None:
            raise LookupError("the collector of this Python wasn't found")
        return found

    def _within(self, begin: int, data: bytes) -> int | None:
        words = np.frombuffer(data, "<u8", len(data) // 8)
        addresses = np.uint64(begin) + np.arange(len(words), dtype=np.uint64) * np.uint64(8)
        for index in np.flatnonzero(words == addresses - np.uint64(FIRST_GENERATION)).tolist():
            start = index * 8 - FIRST_GENERATION
            if start >= 0 and _plausible(data[start : start + STATISTICS + LOOKED_AT.size]):
                return int(begin + start)
        return None

    def _memory(self, address: int, size: int) -> bytes:
        try:
            return os.pread(self._fd, size, address)
        except OSError:  # Not mapped, not readable, or the process has ended.
            return b""


def _plausible(state: bytes) -> bool:
    """Tell whether bytes are a collector's state: thresholds, counts, statistics and a flag in their places."""
    if len(state) < STATISTICS + LOOKED_AT.size:
        return False
    generations = [struct.unpack_from("<QQii", state, 24 * number) for number in range(3)]
    *statistics, collecting = LOOKED_AT.unpack_from(state, STATISTICS)
    return (
        all(low and high and 0 <= threshold < LARGEST_THRESHOLD for low, high, threshold, _ in generations)
        and all(number >= 0 for number in statistics)
        and collecting in {0, 1}
    )
