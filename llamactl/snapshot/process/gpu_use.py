"""What a process uses of GPUs: driver files, memory per device, and why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llamactl.snapshot.gpu.driver_files import DriverFile, is_driver_file
from llamactl.snapshot.gpu.facts import Reason
from llamactl.snapshot.gpu.look import gpus

# The engine's backend libraries and what the engine calls them.
_BACKENDS = {
    "libggml-cpu": "CPU", "libggml-cuda": "CUDA", "libggml-hip": "ROCm", "libggml-vulkan": "Vulkan",
    "libggml-sycl": "SYCL", "libggml-opencl": "OpenCL", "libggml-rpc": "RPC", "libggml-blas": "BLAS",
}  # fmt: skip

SOFTWARE = (
    ("libvulkan_lvp.so", "lavapipe (Vulkan)"),
    ("libpocl.so", "PoCL (OpenCL)"),
    ("libvk_swiftshader.so", "SwiftShader (Vulkan)"),
)
"""Drivers whose device is the CPU: what their libraries are called, and what people call them."""


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """One device: what this process has on it, or only the total where the driver tells no more."""

    vendor: str
    name: str
    process_bytes: int | None
    used_bytes: int | None
    total_bytes: int | None
    only_device_total: bool


@dataclass(frozen=True, slots=True)
class GpuUse:
    """All devices, the driver's files that the process has open or mapped, and why a GPU isn't used.

    ``backends`` are those whose libraries are mapped; None where the engine is inside of a program or
    extension and doesn't show them. ``software`` are drivers that compute on the CPU, in the process's own memory.
    """

    devices: tuple[DeviceUse, ...]
    driver_files: tuple[DriverFile, ...]
    backends: tuple[str, ...] | None
    reasons: tuple[Reason, ...]
    software: tuple[str, ...] = ()


def find_gpu_use(
    pid: int, kinds: Iterable[str], files: Iterable[tuple[int, str]], mapped: Iterable[tuple[str, int]]
) -> GpuUse:
    """Return what a process uses of GPUs.

    Args:
        pid: The process.
        kinds: Kinds of the engine's files in it, as in :class:`EngineFile`.
        files: Its open files: number and target.
        mapped: Its mappings: file and size in bytes.
    """
    kinds = list(kinds)
    names = tuple(_BACKENDS[kind] for kind in kinds if kind in _BACKENDS)
    backends = None if "static" in kinds or not kinds else names
    report = gpus(engine_backends=backends)
    devices = []
    for device in report.devices:
        own = [
            user.memory_bytes
            for user in device.processes
            if user.pid == pid and user.memory_bytes is not None
        ]
        total = sum(own) if own else None
        sizes = (total, device.used_bytes, device.total_bytes)
        devices.append(DeviceUse(device.vendor, device.name, *sizes, device.only_device_total))
    mapped = list(mapped)
    names_mapped = {path.rpartition("/")[2].removesuffix(" (deleted)") for path, _ in mapped}
    software = tuple(name for base, name in SOFTWARE if any(one.startswith(base) for one in names_mapped))
    return GpuUse(tuple(devices), _driver_files(files, mapped), backends, report.reasons, software)


def _driver_files(
    files: Iterable[tuple[int, str]], mapped: Iterable[tuple[str, int]]
) -> tuple[DriverFile, ...]:
    descriptors: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for fd, path in files:
        if path.startswith("/dev/") and is_driver_file(path):
            descriptors.setdefault(path, []).append(fd)
    for path, size in mapped:
        if path.startswith("/dev/") and is_driver_file(path):
            sizes[path] = sizes.get(path, 0) + size
    return tuple(
        DriverFile(path, tuple(descriptors.get(path, ())), sizes.get(path, 0))
        for path in sorted({*descriptors, *sizes})
    )
