"""The memory that a model with a context will need, from the engine's own allocation run without memory.

The engine goes through everything that it does when it loads (which tensor goes to which device, how
large the KV cache and the graphs' work space are) with buffers of no size (``llama_model_params.no_alloc``).
No weights are read, so it takes as long for 100 GB as for 100 MB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llamactl.engine import library
from llamactl.engine.context import BufferMemory, Context
from llamactl.engine.model import Model
from llamactl.engine.parameters import ContextParameters, ModelParameters
from llamactl.snapshot.gguf.check import check_model
from llamactl.snapshot.host.memory import headroom

MAPPABLE = "CPU"
"""The engine's buffer type for weights as they are in the file."""
LARGEST_TRIED = 2**20
"""Tokens. Also without memory the engine makes a record of some 55 bytes for each cell of the cache, so a
larger context is foretold from two that are tried: what is held grows by the same bytes with each token."""
CELLS = 256
"""The engine makes contexts of a multiple of them (``GGML_PAD`` in ``llama-context.cpp``)."""


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
        held_bytes: Of the machine's memory, what must be in it: all but weights that stay in the file.
        held_weights_bytes: Of that, weights.
        limited_by: The file of the control group that sets the limit; None for the machine.
        fits: Whether that can be taken now; None if unknown.
    """

    n_ctx: int
    n_batch: int
    n_ubatch: int
    type_k: str
    type_v: str
    layers_offloaded: tuple[int, int] | None
    devices: tuple[DeviceNeed, ...]
    buffers: tuple[BufferMemory, ...]
    held_bytes: int
    held_weights_bytes: int
    limited_by: str | None
    fits: bool | None


def memory_needed(
    path: str, context: ContextParameters, loading: ModelParameters | None = None
) -> MemoryNeeded:
    """Ask the engine what a model with a context will need.

    Args:
        path: A GGUF file; of a split model the first part.
        context: Sizes and types; ``n_ctx`` 0 takes the model's.
        loading: How it would be loaded.

    Raises:
        UsageError: The file isn't sound.
        LlamactlError: The engine can't load it, or can't make such a context.
    """
    check_model(path)
    asked = loading or ModelParameters()
    # With mmap in force the engine would map the weights, which it refuses to simulate.
    with Model(path, replace(asked, load_mode="none", no_alloc=True)) as model:
        return _needed(model, context, asked)


def _needed(model: Model, context: ContextParameters, asked: ModelParameters) -> MemoryNeeded:
    n_ctx = context.n_ctx or model.n_ctx_train
    far = n_ctx > LARGEST_TRIED
    with Context(model, replace(context, n_ctx=LARGEST_TRIED) if far else context) as made:
        buffers, left = made.memory(), headroom()
        n_ctx = n_ctx if far else made.n_ctx
        sizes = made.n_batch, made.n_ubatch
    if far:
        with Context(model, replace(context, n_ctx=LARGEST_TRIED // 2)) as made:
            buffers = _at(-(-n_ctx // CELLS) * CELLS, made.memory(), buffers)
    weights = _held_weights(buffers, asked.load_mode)
    held = weights + sum(row.context_bytes + row.compute_bytes for row in buffers if _is_host(row))
    return MemoryNeeded(
        n_ctx, *sizes, context.type_k, context.type_v,
        model.layers_offloaded if library.has_gpu() else None, _by_device(buffers, left.bytes), buffers,
        held, weights, left.source, None if left.bytes is None else held <= left.bytes,
    )  # fmt: skip


def _at(
    n_ctx: int, half: tuple[BufferMemory, ...], whole: tuple[BufferMemory, ...]
) -> tuple[BufferMemory, ...]:
    """Return what a context takes, from what one of :data:`LARGEST_TRIED` tokens and one of half of it take."""
    before = {(row.buffer_type, row.device): row for row in half}

    def further(now: int, then: int) -> int:
        return now + (now - then) * (n_ctx - LARGEST_TRIED) // (LARGEST_TRIED // 2)

    rows = [(row, before.get((row.buffer_type, row.device), row)) for row in whole]
    return tuple(
        replace(
            row,
            context_bytes=further(row.context_bytes, then.context_bytes),
            compute_bytes=further(row.compute_bytes, then.compute_bytes),
        )
        for row, then in rows
    )


def _held_weights(buffers: tuple[BufferMemory, ...], load_mode: str) -> int:
    """Mapped weights are pages of the file, which the kernel drops and reads again; those repacked are not."""
    mapped = load_mode in {"auto", "mmap"}
    return sum(
        row.model_bytes for row in buffers if _is_host(row) and not (mapped and row.buffer_type == MAPPABLE)
    )


def _is_host(buffer: BufferMemory) -> bool:
    return buffer.is_host or not buffer.device


def _by_device(buffers: tuple[BufferMemory, ...], available: int | None) -> tuple[DeviceNeed, ...]:
    free = {device.name: device.memory_free_bytes for device in library.devices()}
    shares: dict[str, list[int]] = {}
    for buffer in buffers:
        device = "CPU" if _is_host(buffer) else buffer.device
        share = shares.setdefault(device, [0, 0, 0])
        share[0] += buffer.model_bytes
        share[1] += buffer.context_bytes
        share[2] += buffer.compute_bytes
    return tuple(
        DeviceNeed(name, weights, kv, compute, available if name == "CPU" else free.get(name))
        for name, (weights, kv, compute) in sorted(shares.items(), key=lambda item: item[0] != "CPU")
    )
