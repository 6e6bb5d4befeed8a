"""Will it fit into memory? Asked before: the kernel would grant the memory and then kill.

The engine's own allocation without memory says what is needed (:mod:`llamactl.run.memory_needed`), the machine
and the control groups say what is left. Where far less than that is needed by the roughest of bounds, the
engine isn't asked: that would take as long as loading.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from llamactl.engine import ContextParameters, Model, ModelParameters
from llamactl.engine.fit import fit
from llamactl.engine.library import has_gpu
from llamactl.errors import LlamactlError
from llamactl.run.extras import Fitting
from llamactl.run.memory_needed import MemoryNeeded, memory_needed
from llamactl.run.request import Request
from llamactl.snapshot.gguf.splits import files_of
from llamactl.snapshot.host.memory import Headroom, headroom, total_bytes

GIB = 2**30
WORK_SPACE_BYTES = GIB
"""More than graphs take with the usual batch; larger batches are asked about."""
USUAL_BATCH = 2048
BYTES_PER_VALUE = 4
LEAST_HEAD = 32
"""Heads aren't smaller: so many there are at most, where layers differ."""


def check_room(
    model: Model, parameters: ContextParameters, fitting: Fitting | None = None
) -> ContextParameters:
    """Return the parameters of a context that fits into memory.

    Args:
        model: The model, loaded.
        parameters: Of the context.
        fitting: Whether a context that nobody asked a size for may be made smaller.

    Raises:
        LlamactlError: It doesn't fit.
    """
    left = headroom()
    if left.bytes is None or at_most(model, parameters) < left.bytes:
        return parameters
    needed = memory_needed(model.path, parameters, model.parameters)
    if needed.fits is not False:
        return parameters
    if fitting is not None and parameters.n_ctx == 0:
        return _made_smaller(model, parameters, fitting, needed, left)
    raise refusal(needed, left)


def fitted(request: Request) -> Request:
    """Return a request that fits: layers and context by the devices' memory, weights that are read by the machine's.

    Raises:
        LlamactlError: Nothing fits.
    """
    path = str(request.model)
    if request.extras.fitting is not None and has_gpu():
        parameters = fit(
            path, request.model_parameters, request.context_parameters,
            request.extras.fitting.margins, request.extras.fitting.least_context,
        )  # fmt: skip
        request = replace(request, model_parameters=parameters[0], context_parameters=parameters[1])
    check_weights(path, request.model_parameters, request.context_parameters)
    return request


def check_weights(path: str, parameters: ModelParameters, context: ContextParameters) -> None:
    """Refuse weights that don't fit, where they are read into memory instead of being mapped.

    Raises:
        LlamactlError: They don't.
    """
    if parameters.load_mode in {"auto", "mmap"}:
        return
    left, size = headroom(), sum(_size(part) for part in files_of(path))
    if left.bytes is None or size + WORK_SPACE_BYTES < left.bytes // 2:
        return
    needed = memory_needed(path, context, parameters)
    if needed.fits is False:
        raise refusal(needed, left)


def at_most(model: Model, parameters: ContextParameters) -> int:
    """Return bytes that a context never takes more of: every layer with all heads, every token, no flash attention.

    Of models with an encoder no such bound is known.
    """
    if model.has_encoder:
        return sys.maxsize
    n_ctx = (parameters.n_ctx or model.n_ctx_train) * parameters.n_seq_max
    key, value = model.kv_lengths
    cache = n_ctx * model.n_layer * max(key + value, 2 * model.n_embd) * BYTES_PER_VALUE
    batch = min(max(parameters.n_ubatch, 1), parameters.n_batch)
    scores = 2 * max(model.n_head, model.n_embd // LEAST_HEAD) * n_ctx * batch * BYTES_PER_VALUE
    scale = max(parameters.n_ubatch, parameters.n_batch, USUAL_BATCH) // USUAL_BATCH + 1
    repacked = model.size_bytes if model.parameters.use_extra_bufts else 0
    return cache + scores + scale * WORK_SPACE_BYTES + repacked


def refusal(needed: MemoryNeeded, left: Headroom) -> LlamactlError:
    """Return what doesn't fit as an error."""
    cpu = needed.devices[0]
    parts = f"{cpu.context_bytes / GIB:.1f} GiB of it KV cache, {cpu.compute_bytes / GIB:.1f} GiB work space"
    where = "" if left.source is None else f" in the control group ({left.source})"
    return LlamactlError(
        f"a context of {needed.n_ctx} tokens needs {needed.held_bytes / GIB:.1f} GiB of memory ({parts}), "
        f"{(left.bytes or 0) / GIB:.1f} GiB can be taken{where}",
        "Ask for a smaller context (-c) or a smaller KV type (-ctk, -ctv).",
    )


def _made_smaller(
    model: Model, parameters: ContextParameters, fitting: Fitting, needed: MemoryNeeded, left: Headroom
) -> ContextParameters:
    """Have the engine choose the context; it knows the machine's memory, not the group's, so the rest is a margin."""
    total = total_bytes()
    if total is None:
        raise refusal(needed, left)
    # Weights that are mapped needn't be held, which the engine doesn't take into account.
    spare = (left.bytes or 0) + sum(row.weights_bytes for row in needed.devices) - needed.held_weights_bytes
    margin = max(total - spare, 0) + min(fitting.margins[0], spare // 4)
    try:
        _, fitted = fit(model.path, model.parameters, parameters, [margin], fitting.least_context)
    except LlamactlError:
        raise refusal(needed, left) from None
    made = replace(parameters, n_ctx=fitted.n_ctx)
    again = memory_needed(model.path, made, model.parameters)
    if again.fits is False:
        raise refusal(again, left)
    return made


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
