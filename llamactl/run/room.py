"""Will the context fit into memory? Asked before: the kernel would grant the memory and then kill."""

from __future__ import annotations

from llamactl.engine import ContextParameters, Model
from llamactl.errors import LlamactlError
from llamactl.snapshot.memory import available_bytes

BYTES_PER_VALUE = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32, "q4_1": 20 / 32,
    "iq4_nl": 18 / 32, "q5_0": 22 / 32, "q5_1": 24 / 32,
}  # fmt: skip
GIB = 2**30


def kv_cache_bytes(model: Model, parameters: ContextParameters) -> int:
    """Return the size of the KV cache: one key and one value per layer, head and token.

    0 for models without attention. Layers with a sliding window need less: it is an upper bound.
    """
    n_ctx = parameters.n_ctx or model.n_ctx_train
    key, value = model.kv_lengths
    per_layer = key * BYTES_PER_VALUE[parameters.type_k] + value * BYTES_PER_VALUE[parameters.type_v]
    return int(n_ctx * model.n_layer * per_layer)


def check_memory(model: Model, parameters: ContextParameters, available: int | None) -> None:
    """Refuse a context whose KV cache is larger than the memory that is left.

    Args:
        model: The model.
        parameters: Of the context.
        available: Bytes that can be taken without swapping; ``None`` if that isn't known.

    Raises:
        LlamactlError: It doesn't fit.
    """
    needed = kv_cache_bytes(model, parameters)
    if available is not None and needed > available:
        raise LlamactlError(
            f"a context of {parameters.n_ctx or model.n_ctx_train} tokens needs {needed / GIB:.1f} GiB for its KV "
            f"cache, {available / GIB:.1f} GiB of memory is available",
            "Ask for a smaller context (-c) or a smaller KV type (-ctk, -ctv).",
        )


def check_room(model: Model, parameters: ContextParameters) -> None:
    """Do :func:`check_memory` against this machine, where the cache lies in its memory."""
    check_memory(model, parameters, available_bytes())
