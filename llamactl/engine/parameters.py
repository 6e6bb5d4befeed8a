"""What can be asked of the engine: plain values, with llama.cpp's names and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llamactl.engine.native import lib
from llamactl.errors import UsageError

LOAD_MODES: dict[str, int] = {
    "auto": lib.LLAMA_LOAD_MODE_AUTO,
    "none": lib.LLAMA_LOAD_MODE_NONE,
    "mmap": lib.LLAMA_LOAD_MODE_MMAP,
    "mlock": lib.LLAMA_LOAD_MODE_MLOCK,
    "mmap+mlock": lib.LLAMA_LOAD_MODE_MMAP_MLOCK,
    "dio": lib.LLAMA_LOAD_MODE_DIRECT_IO,
}
KV_TYPES: dict[str, int] = {
    "f32": lib.GGML_TYPE_F32,
    "f16": lib.GGML_TYPE_F16,
    "bf16": lib.GGML_TYPE_BF16,
    "q8_0": lib.GGML_TYPE_Q8_0,
    "q4_0": lib.GGML_TYPE_Q4_0,
    "q4_1": lib.GGML_TYPE_Q4_1,
    "iq4_nl": lib.GGML_TYPE_IQ4_NL,
    "q5_0": lib.GGML_TYPE_Q5_0,
    "q5_1": lib.GGML_TYPE_Q5_1,
}
FLASH_ATTENTION: dict[str, int] = {
    "auto": lib.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": lib.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": lib.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
POOLING: dict[str, int] = {
    "unspecified": lib.LLAMA_POOLING_TYPE_UNSPECIFIED,
    "none": lib.LLAMA_POOLING_TYPE_NONE,
    "mean": lib.LLAMA_POOLING_TYPE_MEAN,
    "cls": lib.LLAMA_POOLING_TYPE_CLS,
    "last": lib.LLAMA_POOLING_TYPE_LAST,
    "rank": lib.LLAMA_POOLING_TYPE_RANK,
}
SPLIT_MODES: dict[str, int] = {
    "none": lib.LLAMA_SPLIT_MODE_NONE,
    "layer": lib.LLAMA_SPLIT_MODE_LAYER,
    "row": lib.LLAMA_SPLIT_MODE_ROW,
}


MAX_THREADS = 512
"""``GGML_MAX_N_THREADS``; with more the engine crashes."""
CONTEXT_RANGES = {
    "n_ctx": (0, 2**31 - 1),
    "n_batch": (1, 2**31 - 1),
    "n_ubatch": (1, 2**31 - 1),
    "n_seq_max": (1, int(lib.llama_max_parallel_sequences())),
    "n_threads": (1, MAX_THREADS),
    "n_threads_batch": (1, MAX_THREADS),
}


def choose(kind: str, name: str, table: dict[str, int]) -> int:
    """Return the engine's value for a name.

    Raises:
        UsageError: The table has no such name.
    """
    try:
        return table[name]
    except KeyError:
        raise UsageError(f"{kind} {name!r} is unknown", f"Choose one of: {', '.join(table)}.") from None


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """How to load a model (``llama_model_params``).

    Attributes:
        load_mode: A key of :data:`LOAD_MODES`.
        n_gpu_layers: Layers to offload; negative for all.
        split_mode: How several GPUs share the model, a key of :data:`SPLIT_MODES`.
        main_gpu: The GPU for the whole model when ``split_mode`` is ``none``.
        check_tensors: Validate tensor data while loading.
        no_alloc: Read metadata and simulate the allocations only.
        vocab_only: Read the vocabulary only.
    """

    load_mode: str = "auto"
    n_gpu_layers: int = -1
    split_mode: str = "layer"
    main_gpu: int = 0
    check_tensors: bool = False
    no_alloc: bool = False
    vocab_only: bool = False

    def native(self) -> Any:
        """Return the C struct."""
        params = lib.llama_model_default_params()
        params.load_mode = choose("load mode", self.load_mode, LOAD_MODES)
        if self.no_alloc:
            # The engine aborts when it shall map what it shall not allocate.
            params.load_mode = lib.LLAMA_LOAD_MODE_NONE
        params.split_mode = choose("split mode", self.split_mode, SPLIT_MODES)
        for name in ("n_gpu_layers", "main_gpu", "check_tensors", "no_alloc", "vocab_only"):
            setattr(params, name, getattr(self, name))
        return params


@dataclass(frozen=True, slots=True)
class ContextParameters:
    """How to make a context (``llama_context_params``).

    Attributes:
        n_ctx: Context size in tokens; 0 takes the model's.
        n_batch: Most tokens in one call of decode.
        n_ubatch: Most tokens that are computed at once.
        n_seq_max: Number of independent sequences.
        n_threads: Threads for single tokens.
        n_threads_batch: Threads for prompts.
        type_k: Type of the K cache, a key of :data:`KV_TYPES`.
        type_v: Type of the V cache.
        flash_attention: A key of :data:`FLASH_ATTENTION`.
        pooling: How embeddings are pooled, a key of :data:`POOLING`.
        embeddings: Compute embeddings.
        offload_kqv: Keep the KV cache on the GPU where layers are offloaded.
        kv_unified: One cache for all sequences, which may then share tokens; else each has its part.
    """

    n_ctx: int = 0
    n_batch: int = 2048
    n_ubatch: int = 512
    n_seq_max: int = 1
    n_threads: int = 4
    n_threads_batch: int = 4
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attention: str = "auto"
    pooling: str = "unspecified"
    embeddings: bool = False
    offload_kqv: bool = True
    kv_unified: bool = False

    def native(self) -> Any:
        """Return the C struct.

        Raises:
            UsageError: A value is out of range, or a name unknown.
        """
        for name, (least, most) in CONTEXT_RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} {value} is out of range", f"Use {least} to {most}.")
        params = lib.llama_context_default_params()
        for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_threads", "n_threads_batch"):
            setattr(params, name, getattr(self, name))
        params.type_k = choose("KV type", self.type_k, KV_TYPES)
        params.type_v = choose("KV type", self.type_v, KV_TYPES)
        params.flash_attn_type = choose("flash attention", self.flash_attention, FLASH_ATTENTION)
        params.pooling_type = choose("pooling", self.pooling, POOLING)
        params.embeddings = self.embeddings
        params.offload_kqv = self.offload_kqv
        params.kv_unified = self.kv_unified
        return params
