"""What was asked to lie on devices, and what does: layers, KV cache, each with its evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from llamactl.trace.capture.engine_calls import LOADS
from llamactl.trace.mechanisms.gpu.device_buffers import (
    KV,
    WEIGHTS,
    DeviceBuffer,
    DeviceMemory,
    device_buffers,
    memory_by_device,
)
from llamactl.trace.mechanisms.gpu.left import LeftMemory, left_memory
from llamactl.trace.mechanisms.interface.exchange import Exchange, finished, starts


@dataclass(frozen=True, slots=True)
class Offload:
    """One loading of a model.

    Attributes:
        pid: The process.
        asked: ``n_gpu_layers``: negative for all; None where the call doesn't tell.
        layers: Layers whose weights lie on a device, as llama.cpp counts: the output layer is one.
        total: Layers of the model, the output layer included; None where no buffer names them.
        devices: The devices with layers.
        kv_devices: Where the KV cache lies; empty where none was seen being made.
    """

    pid: int
    asked: int | None
    layers: int
    total: int | None
    devices: tuple[str, ...]
    kv_devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What the engine's own buffers say of devices.

    Attributes:
        buffers: All buffers.
        memory: By process and device.
        offloads: One row for each model that was loaded.
        left: What stayed on devices although what it was for is over.
    """

    buffers: list[DeviceBuffer]
    memory: list[DeviceMemory]
    offloads: list[Offload]
    left: list[LeftMemory]

    @property
    def used(self) -> bool:
        """Whether anything lies in a device's own memory."""
        return any(buffer.on_device and not buffer.failed for buffer in self.buffers)


def device_facts(exchange: Exchange, begin_ns: int) -> DeviceFacts | None:
    """Return the facts, times since ``begin_ns``; None where the agent saw no buffer being made."""
    buffers = device_buffers(exchange)
    if not buffers:
        return None
    since = [
        replace(
            one,
            start_ns=one.start_ns - begin_ns,
            freed_ns=None if one.freed_ns is None else one.freed_ns - begin_ns,
        )
        for one in buffers
    ]
    return DeviceFacts(
        since, memory_by_device(buffers), _offloads(exchange, buffers), left_memory(exchange, buffers)
    )


def _offloads(exchange: Exchange, buffers: list[DeviceBuffer]) -> list[Offload]:
    loads = exchange.calls[exchange.named(*LOADS) & finished(exchange.calls)]
    loads = loads[loads["ret"] != 0]
    found = []
    for row, begin in enumerate(starts(loads).tolist()):
        pid, end = int(loads["pid"][row]), begin + int(loads["duration"][row])
        later = [
            int(at) for at, who in zip(starts(loads), loads["pid"], strict=True) if who == pid and at > begin
        ]
        until = min(later, default=np.iinfo(np.int64).max)
        mine = [one for one in buffers if one.pid == pid and begin <= one.start_ns < until and not one.failed]
        weights = [one for one in mine if one.kind == WEIGHTS and one.start_ns <= end]
        found.append(_offload(pid, _asked(exchange, loads[row : row + 1]), weights, mine))
    return found


def _offload(pid: int, asked: int | None, weights: list[DeviceBuffer], mine: list[DeviceBuffer]) -> Offload:
    away = [one for one in weights if one.device_type not in {"cpu", ""} and not one.host]
    cache = [one for one in mine if one.kind == KV]
    every = _layers([*weights, *cache])
    return Offload(
        pid=pid,
        asked=asked,
        layers=len(_layers(away)) + any(one.output for one in away),
        total=max(every) + 2 if every else None,
        devices=tuple(dict.fromkeys(one.device for one in away if one.layers or one.output)),
        kv_devices=tuple(dict.fromkeys(one.device or one.type for one in cache)),
    )


def _layers(buffers: Iterable[DeviceBuffer]) -> set[int]:
    return {layer for one in buffers for first, last in one.layers for layer in range(first, last + 1)}


def _asked(exchange: Exchange, load: np.ndarray) -> int | None:
    words = exchange.argument(load, "n_gpu_layers")
    return None if words is None else int(np.int32(np.uint32(int(words[0]) & 0xFFFFFFFF)))
