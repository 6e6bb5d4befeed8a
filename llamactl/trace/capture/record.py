"""The fixed-size record of a capture: one row per event, 96 bytes, readable by numpy without copying."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Kind(IntEnum):
    """What a record tells. The meaning of ``nr``, ``args`` and ``ret`` depends on it.

    ========  ============================  =========================================  ===============
    kind      nr                            args                                       ret
    ========  ============================  =========================================  ===============
    SYSCALL   system-call number            the six raw arguments                      raw result
    FAULT     0 minor, 1 major              address, instruction pointer               -
    MAP       prot bits                     address, length, offset, inode             -
    SIGNAL    signal number                 sender's pid where known, si_code, of a    -
                                            fault its address, instruction pointer
    TASK      see :class:`Task`             child tid, child pid                       wait status
    CALL      index in metadata functions   what that function's table row keeps       result
    GIL       0 released, 1 waited for,     call depth, caller's index in functions,   -
              2 Python called back inside   0: ns held before, 2**64-1 for unknown;
              of a call                     2: elements of the largest list it made
    PHASE     index in metadata phases      -                                          -
    COUNTER   index in metadata counters    -                                          value
    LOST      -                             -                                          how many records
    FD        file descriptor               -                                          -
    WATCH     0 first, 1 last float of the  address, instruction pointer, address      -
              logits' row                   that the function returns to
    SCHED     see :class:`Sched`            see there; from ``start`` to its end it    -
                                            was looked up
    DEVICE    index in metadata functions   what that function's table row keeps       result
    ========  ============================  =========================================  ===============
    """

    SYSCALL = 1
    FAULT = 2
    MAP = 3
    SIGNAL = 4
    TASK = 5
    CALL = 6
    GIL = 7
    PHASE = 8
    COUNTER = 9
    LOST = 10
    FD = 11
    WATCH = 12
    SCHED = 13
    DEVICE = 14


class Task(IntEnum):
    """The ``nr`` of a TASK record."""

    CLONE = 1
    FORK = 2
    VFORK = 3
    EXEC = 4
    EXIT = 5
    NAME = 6


class Sched(IntEnum):
    """The ``nr`` of a SCHED record: what its ``args`` are.

    THREAD: CPU time ns, run delay ns, time slices, and for a thread that has just stopped running its state's
    letter with the number of its system call plus one above it (from bit 8 on; 0 for unknown).
    GROUP: in how many periods the control group was throttled, throttled ns, periods, -, quota and period in µs (0
    for none); ``text`` is its directory.
    AFFINITY: how many CPUs the thread may use from now on, and how many cores these are; ``text`` lists them.
    MACHINE: for how long the CPUs that ``text`` lists were busy, idle and stolen by the hypervisor, ns since the
    machine started, all together.
    COLLECTOR: whether Python's garbage collector was at work in the process, how often it had collected everything,
    and when it was looked at before that; only where something is new.
    NEIGHBOUR: CPU time ns of another process on the same CPUs, from ``start`` to its end; ``text`` is its name.
    """

    THREAD = 0
    GROUP = 1
    AFFINITY = 2
    MACHINE = 3
    COLLECTOR = 4
    NEIGHBOUR = 5


class Flag(IntEnum):
    """Bits of ``flags``."""

    NO_EXIT = 1
    """The call never returned while it was recorded; ``ret`` is unknown, and so is ``duration`` in the file:
    ``Capture.chunks()`` makes it the time up to the end of the recording or of the thread."""
    NO_ENTRY = 2
    """The call was entered before recording began; ``start`` is when recording saw it."""
    TEXT_CUT = 4
    """``text`` is only the beginning."""
    GIL_HELD = 8
    """CALL: its thread had Python's GIL when it began."""
    GIL_RELEASED = 16
    """CALL: its thread had let the GIL go. Neither bit: no Python, no GIL, or no telling."""
    INNER = 32
    """CALL: an extension module calls the llama.cpp that is linked into it."""
    LEFT = 64
    """With NO_EXIT: the call isn't open, but when it ended wasn't seen: an exception or a jump left it, or only
    entries were caught. ``duration`` is 0 and means nothing."""


RECORD = np.dtype(
    [
        ("kind", "u1"),
        ("flags", "u1"),
        ("nr", "<u2"),
        ("cpu", "<u2"),
        ("arch", "<u2"),
        ("tid", "<i4"),
        ("pid", "<i4"),
        ("start", "<u8"),
        ("duration", "<u8"),
        ("ret", "<i8"),
        ("args", "<u8", (6,)),
        ("text", "<u4"),
        ("text2", "<u4"),
    ]
)
"""``start`` and ``duration`` are nanoseconds of CLOCK_MONOTONIC; ``text`` and ``text2`` are offsets into
the capture's strings plus one, 0 for none; ``arch`` is 0 for x86-64, 1 for aarch64, 2 for i386; ``cpu``
and the ``nr`` of a call are 65535 when unknown. What a call's texts are: native/common/texts.c."""

UNKNOWN_CPU = UNKNOWN_NR = 0xFFFF
CURRENT_DIRECTORY = 65535
"""The ``nr`` of an FD record that tells the process's current directory."""


def rebase(records: NDArray[np.void], base: int) -> None:
    """Let the strings of records be ``base`` bytes further on; below 0 they have none any more."""
    for name in ("text", "text2"):
        column = records[name]
        if base >= 0:
            column[column != 0] += np.uint32(base)
        else:
            column[:] = 0


assert RECORD.itemsize == 96
