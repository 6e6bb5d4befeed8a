"""What changes a model's answers without changing its file: LoRA adapters and control vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from llamactl.engine.common import parts, span
from llamactl.engine.context import Context
from llamactl.engine.log import captured, last_error
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError


@dataclass(frozen=True, slots=True)
class Scaled:
    """A file and how strongly it counts.

    Attributes:
        path: A GGUF file.
        scale: 1 is as it was trained.
    """

    path: str
    scale: float = 1.0


def add_adapters(context: Context, adapters: Sequence[Scaled]) -> None:
    """Have a context compute with LoRA adapters; they live as long as its model.

    Args:
        context: Of the model that they belong to.
        adapters: All of them: those set before are taken away.

    Raises:
        UsageError: A file isn't an adapter, or doesn't fit the model.
    """
    loaded = ffi.new("struct llama_adapter_lora *[]", [_adapter(context, one.path) for one in adapters])
    scales = ffi.new("float[]", [one.scale for one in adapters])
    if lib.llama_set_adapters_lora(context.pointer, loaded, len(adapters), scales):
        raise LlamactlError("the engine doesn't take the adapters", "Its log says why (-v).")


def _adapter(context: Context, path: str) -> object:
    with captured() as lines:
        adapter = lib.llama_adapter_lora_init(context.model.pointer, os.fsencode(path))
    if adapter == ffi.NULL:
        reason = last_error(lines) or "the engine gives no reason"
        raise UsageError(
            f"can't take the adapter {path!r}: {reason}",
            "`llamactl inspect FILE` says which model it is for.",
        )
    return adapter


def add_control_vectors(
    context: Context, vectors: Sequence[Scaled], layers: tuple[int, int] | None = None
) -> None:
    """Have a context add control vectors to what its layers put out.

    Args:
        context: Of the model that they belong to.
        vectors: They are added up.
        layers: First and last layer, counted from 1; ``None`` for all.

    Raises:
        UsageError: A file isn't a control vector, or doesn't fit the model.
    """
    keep: list[object] = []
    files = ffi.new("struct llamactl_span[]", [span(os.fsencode(one.path), keep) for one in vectors])
    scales = ffi.new("float[]", [one.scale for one in vectors])
    names = ", ".join(repr(one.path) for one in vectors)
    with captured() as lines:
        answer = lib.llamactl_control_vector(files, scales, len(vectors))
    try:
        data, length = parts(answer, 2)
    except LlamactlError as error:
        reason = last_error(lines) or error.message
        raise UsageError(f"can't take the control vector {names}: {reason}", "Check the file.") from None
    n_embd, model = int(length), context.model
    if n_embd != model.n_embd:
        raise UsageError(
            f"the control vector {names} has {n_embd} values a layer, the model {model.n_embd}",
            "Give one that was made with this model.",
        )
    first, last = layers or (1, model.n_layer)
    floats = ffi.from_buffer("float[]", data)
    with captured() as lines:
        status = lib.llama_set_adapter_cvec(context.pointer, floats, len(floats), n_embd, max(first, 1), last)
    if status:
        raise UsageError(
            f"the engine doesn't take the control vector {names}: {last_error(lines) or 'it gives no reason'}",
            "Check the file and the layers.",
        )
