"""Errors that a device's library returned, with their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.mechanisms.gpu.device_calls import DeviceCalls, family_of

NAMES = {
    "CUDA": {
        1: "invalid value", 2: "out of memory", 3: "initialization error", 4: "driver shutting down",
        35: "driver too old for this runtime", 46: "device busy or unavailable", 100: "no device",
        101: "invalid device", 200: "invalid kernel image", 201: "invalid context", 209: "no kernel for this device",
        217: "peer access unsupported", 218: "invalid PTX", 222: "PTX of a newer compiler", 304: "system call failed",
        400: "invalid handle", 500: "not found", 700: "illegal address", 701: "too many resources for launch",
        702: "launch timed out", 704: "peer access already enabled", 712: "host memory already registered",
        713: "host memory not registered", 716: "misaligned address", 719: "launch failed", 800: "not permitted",
        801: "not supported", 802: "system not ready", 803: "driver mismatch", 900: "not allowed while capturing",
        901: "capture invalidated", 910: "graph can't be updated in place", 999: "unknown error",
    },
    "Vulkan": {
        -1: "out of host memory", -2: "out of device memory", -3: "initialization failed", -4: "device lost",
        -5: "memory map failed", -6: "layer not present", -7: "extension not present", -8: "feature not present",
        -9: "incompatible driver", -10: "too many objects", -11: "format not supported", -12: "fragmented pool",
        -13: "unknown error",
    },
}  # fmt: skip
"""``cudaError_t`` (driver_types.h; ``CUresult`` and ``hipError_t`` have the same numbers) and ``VkResult``."""
NAMES["HIP"] = NAMES["CUDA"]
OUT_OF_MEMORY = (2, -1, -2)


@dataclass(frozen=True, slots=True)
class DeviceError:
    """Calls of one function that returned the same error.

    Attributes:
        name: The function.
        code: What it returned.
        what: What that means; empty where it isn't known, as for libraries of linear algebra.
        count: Calls.
        asked_bytes: The largest size that was asked for in them; 0 where they have none.
    """

    name: str
    code: int
    what: str
    count: int
    asked_bytes: int


def device_errors(calls: DeviceCalls) -> list[DeviceError]:
    """Return what failed, the most frequent first."""
    found: dict[tuple[str, int], list[int]] = {}
    for row in np.flatnonzero(calls.failed).tolist():
        name = calls.functions[int(calls.records["nr"][row])].name
        found.setdefault((name, int(calls.records["ret"][row])), []).append(row)
    rows = [
        DeviceError(name, code, _meaning(name, code), len(rows), int(calls.bytes[rows].max()))
        for (name, code), rows in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.name))


def _meaning(name: str, code: int) -> str:
    return "" if "blas" in name else NAMES.get(family_of(name), {}).get(code, "")
