"""The memory that a model with a context will need, from the engine's own allocation run without memory.

The engine goes through everything that it does when it loads (which tensor goes to which device, how
large the KV cache and the graphs' work space are) with buffers of no size (``llama_model_params.no_alloc``).
No weights are read, so it takes as long for 100 GB as for 100 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.engine import library
from llamactl.engine.context import BufferMemory, Context
from llamactl.engine.model import Model
from llamactl.engine.parameters import ContextParameters, ModelParameters
from llamactl.snapshot.gguf.check import check_model
from llamactl.snapshot.memory import available_bytes


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """What one device has to hold.

    Attributes:
        device: llama.cpp's name, ``CPU`` for the machine's own memory.
        weights_bytes: Of the model.
        context_bytes: KV cache and outputs.
        compute_bytes: Work space of graphs.
        free_bytes: What the device has now; None if unknown.
    """

    device: str
    weights_bytes: int
    context_bytes: int
    compute_bytes: int
    free_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """All three."""
        return self.weights_bytes + self.context_bytes + self.compute_bytes


@dataclass(frozen=True, slots=True)
class MemoryNeeded:
    """The answer, with what was asked in force.

    Attributes:
        n_ctx: Tokens of the context.
        n_batch: Most tokens of one call.
        n_ubatch: Most tokens computed at once.
        type_k: Type of the K cache.
        type_v: Type of the V cache.
        layers_offloaded: Layers on GPUs and of the model; None where the engine sees no GPU.
        devices: Each with its share.
        buffers: The engine's own list.
    """

    n_ctx: int
    n_batch: int
    n_ubatch: int
    type_k: str
    type_v: str
    layers_offloaded: tuple[int, int] | None
    devices: tuple[DeviceNeed, ...]
    buffers: tuple[BufferMemory, ...]


def memory_needed(path: str, context: ContextParameters, n_gpu_layers: int = -1) -> MemoryNeeded:
    """Ask the engine what a model with a context will need.

    Args:
        path: A GGUF file; of a split model the first part.
        context: Sizes and types; ``n_ctx`` 0 takes the model's.
        n_gpu_layers: Layers to offload; negative for all.

    Raises:
        UsageError: The file isn't sound.
        LlamactlError: The engine can't load it, or can't make such a context.
    """
    check_model(path)
    # With mmap in force the engine would map the weights, which it refuses to simulate.
    parameters = ModelParameters(load_mode="none", n_gpu_layers=n_gpu_layers, no_alloc=True)
    with Model(path, parameters) as model, Context(model, context) as made:
        buffers = made.memory()
        return MemoryNeeded(
            made.n_ctx, made.n_batch, made.n_ubatch, context.type_k, context.type_v,
            model.layers_offloaded if library.has_gpu() else None, _by_device(buffers), buffers,
        )  # fmt: skip


def _by_device(buffers: tuple[BufferMemory, ...]) -> tuple[DeviceNeed, ...]:
    free = {device.name: device.memory_free_bytes for device in library.devices()}
    shares: dict[str, list[int]] = {}
    for buffer in buffers:
        device = "CPU" if buffer.is_host or not buffer.device else buffer.device
        share = shares.setdefault(device, [0, 0, 0])
        share[0] += buffer.model_bytes
        share[1] += buffer.context_bytes
        share[2] += buffer.compute_bytes
    return tuple(
        DeviceNeed(name, weights, kv, compute, available_bytes() if name == "CPU" else free.get(name))
        for name, (weights, kv, compute) in sorted(shares.items(), key=lambda item: item[0] != "CPU")
    )
