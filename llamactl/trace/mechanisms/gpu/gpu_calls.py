"""System calls on the device nodes of a GPU: what a program spends on asking the driver and waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from llamactl.process.files.device_nodes import GPU_NODES_BYTES
from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.files.files import FileRow
from llamactl.trace.mechanisms.names import Names
from llamactl.trace.mechanisms.view import View

KEPT = 1_000_000


BACKENDS = (
    b"libggml-cuda",
    b"libggml-hip",
    b"libggml-vulkan",
    b"libggml-sycl",
    b"libggml-opencl",
    b"libggml-cann",
)
DRIVERS = (b"libcuda.so", b"libamdhip64.so", b"libvulkan.so", b"libze_loader.so", b"libOpenCL.so")


class GpuReason(Enum):
    """Why a program that has a GPU doesn't use it, as far as its files and calls show."""

    NO_LAYERS = "no layers asked for"
    NO_BACKEND = "no GPU backend loaded"
    NO_DRIVER = "no driver library found"
    REFUSED = "device refused"


def gpu_reasons(files: Sequence[FileRow], layers: int | None) -> list[GpuReason]:
    """Return what keeps a program from the GPU, the first reason first; empty when nothing shows it.

    A static build may have its backend inside: then only the driver's library is missed.

    Args:
        files: What the program opened, or tried to.
        layers: The layers it wanted on the GPU; negative for all, None where that isn't known.
    """
    bases = [(row.name.rpartition(b"/")[2], row) for row in files]
    backend = any(row.mapped_bytes and base.startswith(BACKENDS) for base, row in bases)
    drivers = [row for base, row in bases if base.startswith(DRIVERS)]
    found: list[GpuReason] = []
    if any(row.name.startswith(GPU_NODES_BYTES) and row.open_errors for row in files):
        found.append(GpuReason.REFUSED)
    if layers == 0:
        found.append(GpuReason.NO_LAYERS)
    if drivers and not any(row.mapped_bytes for row in drivers):
        found.append(GpuReason.NO_DRIVER)
    if not backend and not drivers:
        found.append(GpuReason.NO_BACKEND)
    return found


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
            self._parts.append(view.records[view.calls[mine]])
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
        more = [
            self._names.name(number).startswith(GPU_NODES_BYTES) for number in range(known, len(self._names))
        ]
        self._is_gpu = np.concatenate([self._is_gpu, np.array(more, dtype=bool)])
