"""System calls on the device nodes of a GPU: what a program spends on asking the driver and waiting for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.names import Names
from llamactl.trace.analysis.view import View

IntArray = NDArray[np.int64]

GPU_NODES = (b"/dev/nvidia", b"/dev/kfd", b"/dev/dri/")
KEPT = 1_000_000


class GpuCalls:
    """Collects the system calls whose descriptor is a GPU's device node.

    Args:
        names: The names of descriptors.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._is_gpu = np.zeros(0, dtype=bool)
        self._parts: list[NDArray[np.void]] = []
        self._count = 0

    def add(self, view: View, resolved: IntArray) -> None:
        """Take the calls of a piece; ``resolved`` is what ``FdTable.resolve`` returned for it."""
        self._learn()
        mine = (resolved >= 0) & self._is_gpu[np.maximum(resolved, 0)] if len(self._is_gpu) else None
        if mine is not None and mine.any() and self._count < KEPT:
            self._parts.append(view.call_records[mine])
            self._count += int(mine.sum())

    def records(self) -> NDArray[np.void] | None:
        """Return the SYSCALL records by start; None when there are none."""
        if not self._parts:
            return None
        found = np.concatenate(self._parts)
        return found[np.argsort(found["start"], kind="stable")]

    def _learn(self) -> None:
        """Look at the names that are new."""
        known = len(self._is_gpu)
        more = [self._names.name(number).startswith(GPU_NODES) for number in range(known, len(self._names))]
        self._is_gpu = np.concatenate([self._is_gpu, np.array(more, dtype=bool)])
