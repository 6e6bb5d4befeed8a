"""The library as a whole: start it, ask what it is and which devices it sees."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import llamactl.engine.log  # noqa: F401 - defines where the engine's log goes
from llamactl.engine.native import ffi, lib, text

if TYPE_CHECKING:
    from llamactl.engine._engine import ggml_backend_device

DEVICE_TYPES = {
    lib.GGML_BACKEND_DEVICE_TYPE_CPU: "cpu",
    lib.GGML_BACKEND_DEVICE_TYPE_GPU: "gpu",
    lib.GGML_BACKEND_DEVICE_TYPE_IGPU: "igpu",
    lib.GGML_BACKEND_DEVICE_TYPE_ACCEL: "accel",
}


@dataclass(frozen=True, slots=True)
class Device:
    """One device that a backend offers.

    Attributes:
        name: llama.cpp's name, such as ``CPU`` or ``CUDA0``.
        description: The maker's name for it.
        type: ``cpu``, ``gpu``, ``igpu`` or ``accel``.
        backend: The backend that drives it.
        memory_total_bytes: As the backend reports it.
        memory_free_bytes: As the backend reports it, now.
        pci: Its address on the bus, ``0000:01:00.0``; None where the backend doesn't tell.
    """

    name: str
    description: str
    type: str
    backend: str
    memory_total_bytes: int
    memory_free_bytes: int
    pci: str | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """Of what the engine was built."""

    llama: str
    commit: str
    ggml: str


@cache
def start() -> None:
    """Start the backends once; from then on the engine's log goes to ``logging``."""
    lib.llamactl_log_forward(lib.GGML_LOG_LEVEL_INFO)
    lib.llama_backend_init()
    # At exit models are freed after Python's logging is gone.
    atexit.register(lib.llamactl_log_discard)


def set_log_level(debug: bool) -> None:
    """Forward the engine's debug lines too, or only from INFO up."""
    start()
    lib.llamactl_log_forward(lib.GGML_LOG_LEVEL_DEBUG if debug else lib.GGML_LOG_LEVEL_INFO)


def versions() -> Versions:
    """Return the versions that the loaded library states of itself."""
    return Versions(text(lib.llama_version()), text(lib.ggml_commit()), text(lib.ggml_version()))


def system_info() -> str:
    """Return llama.cpp's own line about CPU features and backends."""
    start()
    return text(lib.llama_print_system_info())


def cpu_features() -> dict[str, str]:
    """Return what the CPU backend was built with and found here, such as ``{"AVX2": "1"}``."""
    start()
    size = 4096
    buffer = ffi.new("char[]", size)
    lib.llamactl_cpu_features(buffer, size)
    return dict(pair.split("=", 1) for pair in text(buffer).split(",") if pair)


def backends() -> tuple[str, ...]:
    """Return the names of the backends in this build."""
    start()
    return tuple(
        text(lib.ggml_backend_reg_name(lib.ggml_backend_reg_get(i)))
        for i in range(lib.ggml_backend_reg_count())
    )


def devices() -> tuple[Device, ...]:
    """Return the devices that the backends see now."""
    start()
    return tuple(_device(lib.ggml_backend_dev_get(i)) for i in range(lib.ggml_backend_dev_count()))


def _device(handle: ggml_backend_device) -> Device:
    free, total = ffi.new("size_t *"), ffi.new("size_t *")
    lib.ggml_backend_dev_memory(handle, free, total)
    properties = ffi.new("struct ggml_backend_dev_props *")
    lib.ggml_backend_dev_get_props(handle, properties)
    return Device(
        name=text(lib.ggml_backend_dev_name(handle)),
        description=text(lib.ggml_backend_dev_description(handle)),
        type=DEVICE_TYPES.get(lib.ggml_backend_dev_type(handle), "unknown"),
        backend=text(lib.ggml_backend_reg_name(lib.ggml_backend_dev_backend_reg(handle))),
        memory_total_bytes=total[0],
        memory_free_bytes=free[0],
        pci=text(properties.device_id) or None,
    )


def has_gpu() -> bool:
    """Tell whether any device is a GPU."""
    return any(device.type in {"gpu", "igpu"} for device in devices())


NUMA: dict[str, int] = {
    "distribute": lib.GGML_NUMA_STRATEGY_DISTRIBUTE,
    "isolate": lib.GGML_NUMA_STRATEGY_ISOLATE,
    "numactl": lib.GGML_NUMA_STRATEGY_NUMACTL,
}


def set_numa(strategy: str) -> None:
    """Choose how threads and memory spread over NUMA nodes, a key of :data:`NUMA`; before loading a model."""
    start()
    lib.llama_numa_init(NUMA[strategy])


def directory() -> Path:
    """Return the directory of the engine's libraries that belong to this llamactl."""
    return Path(__file__).resolve().parent.parent / "lib"
