"""Make what isn't set fit the memory of the devices, as llama.cpp's programs do (``common_fit_params``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llamactl.engine import library
from llamactl.engine.log import captured, last_error
from llamactl.engine.native import ffi, lib, text
from llamactl.engine.parameters import ContextParameters, ModelParameters
from llamactl.errors import LlamactlError


def fit(
    path: str,
    model: ModelParameters,
    context: ContextParameters,
    margins: Sequence[int],
    least_context: int,
) -> tuple[ModelParameters, ContextParameters]:
    """Return the parameters with what is at its default changed so that it fits: context, layers, shares.

    Nothing is loaded; the engine allocates without memory. A context that was asked for stays.

    Args:
        path: A GGUF file.
        model: How it would be loaded.
        context: With which context.
        margins: Bytes to leave free of each device, or one for all; without a GPU, of the machine's memory.
        least_context: Smallest context to take, in tokens.

    Raises:
        LlamactlError: Nothing fits.
    """
    library.start()
    native_model, native_context = model.native(), context.native()
    room = int(lib.llama_max_devices())
    shares = ffi.new("float[]", [*model.tensor_split, *(0.0,) * (room - len(model.tensor_split))])
    overrides = ffi.new(
        "struct llama_model_tensor_buft_override[]", int(lib.llama_max_tensor_buft_overrides())
    )
    for index in range(len(model.tensor_overrides)):
        overrides[index] = native_model.tensor_buft_overrides[index]
    left = ffi.new(
        "size_t[]", list(margins) * room if len(margins) == 1 else [*margins, *(0,) * (room - len(margins))]
    )
    pointers = (
        ffi.new("struct llama_model_params *", native_model),
        ffi.new("struct llama_context_params *", native_context),
    )
    with captured() as lines:
        status = lib.llamactl_fit(os.fsencode(path), *pointers, shares, overrides, left, least_context)
    if status:
        reason = last_error(lines) or "the engine finds nothing that does"
        raise LlamactlError(
            f"the model can't be made to fit the memory: {reason}",
            "Ask for a smaller context (-c), fewer layers on the GPU (-ngl), or --fit off.",
        )
    found = [(text(row.pattern), text(lib.ggml_backend_buft_name(row.buft))) for row in _until_end(overrides)]
    split = tuple(shares[index] for index in range(room))
    while split and split[-1] == 0.0:
        split = split[:-1]
    return (
        replace(
            model,
            n_gpu_layers=pointers[0].n_gpu_layers,
            tensor_split=split,
            tensor_overrides=tuple(found),
        ),
        replace(context, n_ctx=int(pointers[1].n_ctx)),
    )


def _until_end(overrides: Any) -> list[Any]:
    rows: list[Any] = []
    for row in overrides:
        if row.pattern == ffi.NULL:
            break
        rows.append(row)
    return rows
