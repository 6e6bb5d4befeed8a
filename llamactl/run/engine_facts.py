"""What the engine says of itself, as the snapshot of a machine takes it."""

from __future__ import annotations

from llamactl.engine import library
from llamactl.engine.backends import load
from llamactl.snapshot.host.machine import EngineDevice, EngineFacts


def engine_facts() -> EngineFacts:
    """Start the engine and ask it for its build, backends and devices."""
    load()
    versions = library.versions()
    devices = (
        EngineDevice(each.name, each.description, each.type, each.backend, *_memory(each))
        for each in library.devices()
    )
    return EngineFacts(
        version=versions.llama,
        commit=versions.commit,
        ggml=versions.ggml,
        backends=library.backends(),
        devices=tuple(devices),
        cpu_features=library.cpu_features(),
    )


def _memory(device: library.Device) -> tuple[int | None, int | None]:
    """A device that reports no size doesn't tell."""
    if device.memory_total_bytes == 0:
        return None, None
    return device.memory_total_bytes, device.memory_free_bytes
