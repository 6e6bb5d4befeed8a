"""Take the agent's own system calls out of a recording: they aren't the program's.

They bear a mark where the kernel reads nothing: see ``OWN_CALL`` in ``llamactl/native/agent/sys.h``. The dynamic
linker's calls that load the agent bear none; they are what a thread does from the opening of the agent's file to
the agent's first call.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.record import Kind
from llamactl.trace.decode.table import ARCH_NAMES, numbers

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MARK = 0x6C6C616D61676E74
MARK_OF_MMAP = MARK >> 32
LAST, DESCRIPTOR = 5, 4
"""The arguments that bear the mark."""
MOST_CALLS = 40
"""So many calls at most load a library of the agent's size; 13 with glibc 2.36."""


LENGTH = struct.Struct("<I")


class OwnCalls:
    """Knows the agent's calls among those of a recording.

    Args:
        agent: Path of the agent, as the dynamic linker opens it.

    Attributes:
        count: How many were left out.
    """

    def __init__(self, agent: Path) -> None:
        self._agent = str(agent).encode()
        self._loading: dict[int, int] = {}
        self._maps, self._opens = (
            [numbers(arch)[name] for arch in range(len(ARCH_NAMES))] for name in ("mmap", "openat")
        )
        self.count = 0

    def without(self, records: NDArray[np.void], strings: memoryview) -> NDArray[np.void]:
        """Return the records without the agent's calls.

        Args:
            records: A batch of an engine, in the order in which calls ended.
            strings: All its strings; ``text`` of a record is an offset in them plus one.
        """
        args = records["args"]
        own = args[:, LAST] == MARK
        shared = args[:, DESCRIPTOR] >> np.uint64(32) == MARK_OF_MMAP
        if shared.any():
            own |= shared & np.isin(records["nr"], self._maps)
        calls = records["kind"] == Kind.SYSCALL
        own &= calls
        held = bytes(strings)
        if self._loading or self._agent in held:
            own |= self._loads(records, calls, own, held)
        if not own.any():
            return records
        self.count += int(own.sum())
        kept: NDArray[np.void] = records[~own]
        return kept

    def _loads(
        self, records: NDArray[np.void], calls: NDArray[np.bool_], own: NDArray[np.bool_], held: bytes
    ) -> NDArray[np.bool_]:
        found = np.zeros(len(records), dtype=bool)
        rows = np.flatnonzero(calls)
        columns = (records[name][rows].tolist() for name in ("tid", "nr", "text"))
        for index, tid, number, text, marked in zip(rows.tolist(), *columns, own[rows].tolist(), strict=True):
            left = self._loading.get(tid, 0)
            if left and not marked:
                found[index] = True
                self._loading[tid] = left - 1
            elif left:
                del self._loading[tid]
            elif text and number in self._opens and self._opened(text, held):
                found[index] = True
                self._loading[tid] = MOST_CALLS
        return found

    def _opened(self, reference: int, held: bytes) -> bool:
        begin = int(reference) - 1
        if begin < 0 or begin + LENGTH.size > len(held):
            return False
        (length,) = LENGTH.unpack_from(held, begin)
        return held[begin + LENGTH.size :][:length] == self._agent
