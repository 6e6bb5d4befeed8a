"""A loaded model: its weights, its facts, and the contexts made from it."""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from llamactl.engine import backends, library
from llamactl.engine.callbacks import PROGRESS, Guarded
from llamactl.engine.handle import Handle
from llamactl.engine.log import captured, last_error
from llamactl.engine.native import ffi, lib, text
from llamactl.engine.parameters import ModelParameters
from llamactl.engine.vocabulary import Vocabulary
from llamactl.errors import LlamactlError, UsageError

OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
NOT_THE_FILES_FAULT = re.compile(
    r"alloc|memory|mmap failed|device|backend|rpc|(read|seek|write) error|no reason", re.IGNORECASE
)
"""Reasons for not loading that lie in the machine or the settings (llama-model.cpp, llama-mmap.cpp)."""
Progress = Callable[[float], "bool | None"]


class Model:
    """A model in memory (``struct llama_model``).

    Closing it closes what was made from it first. Use it as a context manager, or let it go.

    Args:
        path: A GGUF file; of a split model the first part.
        parameters: How to load it.
        progress: Called with the share loaded, 0.0 to 1.0; returning ``False`` stops loading. What it
            raises is raised here.

    Raises:
        UsageError: The engine refuses the file; the message holds the engine's reason.
        LlamactlError: It can't be loaded for another reason, such as no memory.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parameters: ModelParameters | None = None,
        progress: Progress | None = None,
    ) -> None:
        library.start()
        self.path = os.fspath(path)
        self.parameters = parameters or ModelParameters()
        if self.parameters.n_gpu_layers:
            backends.load()
        self._dependents: weakref.WeakSet[Any] = weakref.WeakSet()
        with captured() as lines:
            pointer = self._load(progress)
        if pointer == ffi.NULL:
            raise _refused(self.path, last_error(lines) or "the engine gives no reason")
        self.warnings = tuple(line for level, line in lines if level == logging.WARNING)
        self.layers_offloaded = _layers_offloaded([line for _, line in lines])
        self._handle = Handle(self, "model", pointer, lib.llama_model_free)
        self.vocabulary = Vocabulary(self._handle)

    def _load(self, progress: Progress | None) -> Any:
        self._native = params = self.parameters.native()
        with ExitStack() as stack:
            if progress is not None:
                guarded = stack.enter_context(Guarded(progress))
                params.progress_callback = PROGRESS
                params.progress_callback_user_data = guarded.handle
            return lib.llama_model_load_from_file(os.fsencode(self.path), params)

    @property
    def pointer(self) -> Any:
        """``struct llama_model *``, for calls of the engine."""
        return self._handle.pointer

    def add_dependent(self, dependent: Any) -> None:
        """Have ``dependent.close()`` called before the model is freed."""
        self._dependents.add(dependent)

    @property
    def closed(self) -> bool:
        """Whether the model was freed."""
        return self._handle.closed

    def close(self) -> None:
        """Close what was made from the model, then free it."""
        for dependent in list(self._dependents):
            dependent.close()
        self._handle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def description(self) -> str:
        """llama.cpp's short name for it, such as ``llama 135M Q4_1``."""
        buffer = ffi.new("char[]", 256)
        lib.llama_model_desc(self.pointer, buffer, len(buffer))
        return text(buffer)

    @property
    def n_ctx_train(self) -> int:
        """The context the model was trained with, in tokens."""
        return int(lib.llama_model_n_ctx_train(self.pointer))

    @property
    def n_embd(self) -> int:
        """Length of an embedding that goes in."""
        return int(lib.llama_model_n_embd(self.pointer))

    @property
    def n_embd_out(self) -> int:
        """Length of an embedding that comes out."""
        return int(lib.llama_model_n_embd_out(self.pointer))

    @property
    def n_layer(self) -> int:
        """Number of layers."""
        return int(lib.llama_model_n_layer(self.pointer))

    @property
    def n_head(self) -> int:
        """Attention heads of the first layer; others may have more or fewer."""
        return int(lib.llama_model_n_head(self.pointer))

    @property
    def kv_lengths(self) -> tuple[int, int]:
        """Values that one layer keeps per token, of keys and of values; zeros without attention."""
        heads, kv_heads = lib.llama_model_n_head(self.pointer), lib.llama_model_n_head_kv(self.pointer)
        size = self.n_embd // heads if heads else 0
        prefix = f"{self.meta('general.architecture')}.attention"
        key, value = (int(self.meta(f"{prefix}.{name}_length") or size) for name in ("key", "value"))
        return kv_heads * key, kv_heads * value

    @property
    def n_params(self) -> int:
        """Number of weights."""
        return int(lib.llama_model_n_params(self.pointer))

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return int(lib.llama_model_size(self.pointer))

    @property
    def file_type(self) -> str:
        """The quantisation, such as ``Q4_1``."""
        return text(lib.llama_ftype_name(lib.llama_model_ftype(self.pointer)))

    @property
    def has_encoder(self) -> bool:
        """Whether a prompt goes through ``llama_encode`` first."""
        return bool(lib.llama_model_has_encoder(self.pointer))

    @property
    def has_decoder(self) -> bool:
        """Whether it makes text."""
        return bool(lib.llama_model_has_decoder(self.pointer))

    @property
    def is_diffusion(self) -> bool:
        """Whether it makes text by denoising all of it, not one token after the other."""
        return bool(lib.llama_model_is_diffusion(self.pointer))

    @property
    def is_causal(self) -> bool:
        """Whether its tokens see those before them only, by the file; a context can be told otherwise."""
        said = self.meta(f"{self.meta('general.architecture')}.attention.causal")
        return said != "false"

    @property
    def class_labels(self) -> tuple[str, ...]:
        """What a model that ranks or classifies says its outputs are; empty where it doesn't say."""
        count = int(lib.llama_model_n_cls_out(self.pointer))
        labels = [lib.llama_model_cls_label(self.pointer, index) for index in range(count)]
        return tuple(text(label) for label in labels if label != ffi.NULL)

    @property
    def chat_template(self) -> str | None:
        """The model's own Jinja template, if it has one: that for tools if it has no other."""
        for name in (ffi.NULL, b"tool_use"):
            template = lib.llama_model_chat_template(self.pointer, name)
            if template != ffi.NULL:
                return text(template)
        return None

    def named_template(self, name: str) -> str | None:
        """Return one of the model's further templates, such as ``rerank``; ``None`` if it has none of the name."""
        return text(lib.llama_model_chat_template(self.pointer, name.encode())) or None

    @property
    def metadata(self) -> Mapping[str, str]:
        """The scalar metadata of the GGUF as text, as the engine read it."""
        key, value = lib.llama_model_meta_key_by_index, lib.llama_model_meta_val_str_by_index
        count = lib.llama_model_meta_count(self.pointer)
        return {self._indexed(key, i): self._indexed(value, i) for i in range(count)}

    def meta(self, key: str) -> str | None:
        """Return one scalar of the metadata as text; ``None`` if the model has no such key."""
        buffer = ffi.new("char[]", 1024)
        n = lib.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return text(buffer) if n >= 0 else None

    def _indexed(self, function: Any, index: int) -> str:
        size = 256
        while True:
            buffer = ffi.new("char[]", size)
            n = function(self.pointer, index, buffer, size)
            if n < size:
                return text(buffer)
            size = n + 1


def _refused(path: str, reason: str) -> LlamactlError:
    message = f"can't load {path!r}: {reason}"
    if NOT_THE_FILES_FAULT.search(reason):
        return LlamactlError(message, "`llamactl inspect` says what this machine has.")
    return UsageError(message, "Check the file: `llamactl inspect FILE`, or its download's hash.")


def _layers_offloaded(lines: list[str]) -> tuple[int, int] | None:
    """Return ``(offloaded, all)`` as the engine logged it; ``None`` when it said nothing."""
    for line in lines:
        if match := OFFLOADED.search(line):
            return int(match[1]), int(match[2])
    return None
