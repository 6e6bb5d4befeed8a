"""What can be asked of the engine: plain values, with llama.cpp's names and its programs' defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from llamactl.engine import overrides
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
    "tensor": lib.LLAMA_SPLIT_MODE_TENSOR,
}
LAZY_MODES: dict[str, int] = {
    "auto": lib.LLAMA_LAZY_MODE_AUTO,
    "on": lib.LLAMA_LAZY_MODE_ON,
    "off": lib.LLAMA_LAZY_MODE_OFF,
}
ROPE_SCALING: dict[str, int] = {
    "unspecified": lib.LLAMA_ROPE_SCALING_TYPE_UNSPECIFIED,
    "none": lib.LLAMA_ROPE_SCALING_TYPE_NONE,
    "linear": lib.LLAMA_ROPE_SCALING_TYPE_LINEAR,
    "yarn": lib.LLAMA_ROPE_SCALING_TYPE_YARN,
}
ATTENTION: dict[str, int] = {
    "unspecified": lib.LLAMA_ATTENTION_TYPE_UNSPECIFIED,
    "causal": lib.LLAMA_ATTENTION_TYPE_CAUSAL,
    "non-causal": lib.LLAMA_ATTENTION_TYPE_NON_CAUSAL,
}
SWITCH_WORDS = {
    **dict.fromkeys(("on", "enabled", "true", "1"), "on"),
    **dict.fromkeys(("off", "disabled", "false", "0"), "off"),
    **dict.fromkeys(("auto", "-1"), "auto"),
}
"""What llama.cpp's programs take for on, off and auto (``common_arg_utils`` of ``common/arg.cpp``)."""


MAX_THREADS = 512
"""``GGML_MAX_N_THREADS``; with more the engine crashes."""
CONTEXT_RANGES = {
    "n_ctx": (0, 2**31 - 1),
    "n_batch": (1, 2**31 - 1),
    "n_ubatch": (0, 2**31 - 1),
    "n_seq_max": (1, int(lib.llama_max_parallel_sequences())),
    "n_threads": (1, MAX_THREADS),
    "n_threads_batch": (1, MAX_THREADS),
    "yarn_orig_ctx": (0, 2**31 - 1),
    "n_rs_seq": (0, 2**31 - 1),
    "n_outputs_max": (0, 2**31 - 1),
    "n_outputs_max_per_seq": (0, 2**31 - 1),
}


MODEL_PLAIN = (
    "n_gpu_layers", "main_gpu", "check_tensors", "no_alloc", "vocab_only", "use_extra_bufts", "no_host", "load_mtp",
)  # fmt: skip
CONTEXT_PLAIN = (
    *CONTEXT_RANGES, "embeddings", "offload_kqv", "kv_unified", "swa_full", "op_offload", "rope_freq_base",
    "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "no_perf",
)  # fmt: skip
"""Fields that have the struct's own names and values."""


def choose(kind: str, name: str, table: dict[str, int]) -> int:
    """Return the engine's value for a name.

    Raises:
        UsageError: The table has no such name.
    """
    try:
        return table[name]
    except KeyError:
        raise UsageError(f"{kind} {name!r} is unknown", f"Choose one of: {', '.join(table)}.") from None


_KEPT: WeakKeyDictionary[Any, list[Any]] = WeakKeyDictionary()
"""Arrays that a struct points into, for as long as it lives."""


def switch(text: str) -> str:
    """Return ``on``, ``off`` or ``auto`` for any of llama.cpp's words for it; another text as it is."""
    return SWITCH_WORDS.get(text, text)


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """How to load a model (``llama_model_params``), with the defaults of llama.cpp's programs (``common_params``).

    Attributes:
        load_mode: A key of :data:`LOAD_MODES`.
        n_gpu_layers: Layers to offload; negative for all.
        split_mode: How several GPUs share the model, a key of :data:`SPLIT_MODES`.
        main_gpu: The GPU for the whole model when ``split_mode`` is ``none``.
        check_tensors: Validate tensor data while loading.
        no_alloc: Read metadata and simulate the allocations only.
        vocab_only: Read the vocabulary only.
        lazy_mode: When rows of huge tensors are read on demand, a key of :data:`LAZY_MODES`.
        tensor_split: Shares of the devices, in any unit; empty for as much as each has.
        devices: Names of the devices to offload to; ``None`` for all, empty for none.
        kv_overrides: Metadata to replace, as pairs of key and value.
        tensor_overrides: Where tensors go, as pairs of a regular expression and a buffer type's name.
        use_extra_bufts: Repack weights for the CPU where that is quicker.
        no_host: Don't use the devices' own host buffers.
        load_mtp: Load the layers for multi-token prediction.
    """

    load_mode: str = "auto"
    n_gpu_layers: int = -1
    split_mode: str = "layer"
    main_gpu: int = 0
    check_tensors: bool = False
    no_alloc: bool = False
    vocab_only: bool = False
    lazy_mode: str = "auto"
    tensor_split: tuple[float, ...] = ()
    devices: tuple[str, ...] | None = None
    kv_overrides: tuple[tuple[str, overrides.Value], ...] = ()
    tensor_overrides: tuple[tuple[str, str], ...] = ()
    use_extra_bufts: bool = True
    no_host: bool = False
    load_mtp: bool = False

    def native(self) -> Any:
        """Return the C struct.

        Raises:
            UsageError: A value is out of range, or a name unknown.
        """
        params = lib.llamactl_common_model_params()
        params.load_mode = choose("load mode", self.load_mode, LOAD_MODES)
        if self.no_alloc:
            # The engine aborts when it shall map what it shall not allocate.
            params.load_mode = lib.LLAMA_LOAD_MODE_NONE
        params.split_mode = choose("split mode", self.split_mode, SPLIT_MODES)
        params.lazy_mode = choose("lazy mode", self.lazy_mode, LAZY_MODES)
        for name in MODEL_PLAIN:
            setattr(params, name, getattr(self, name))
        keep: list[Any] = []
        params.tensor_split = overrides.tensor_split(self.tensor_split, keep)
        params.devices = overrides.devices(self.devices, keep)
        params.kv_overrides = overrides.metadata(self.kv_overrides, keep)
        params.tensor_buft_overrides = overrides.tensors(self.tensor_overrides, keep)
        _KEPT[params] = keep
        return params


@dataclass(frozen=True, slots=True)
class ContextParameters:
    """How to make a context (``llama_context_params``), with the defaults of llama.cpp's programs (``common_params``).

    Of those differ: ``n_threads``, which is the CPU budget's where a command sets it.

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
        swa_full: Keep all tokens in layers with a sliding window, which need the window only.
        op_offload: Compute on a GPU what lies in the machine's memory, where that is quicker.
        rope_scaling: How positions beyond the trained context are scaled, a key of :data:`ROPE_SCALING`.
        rope_freq_base: Base frequency of RoPE; 0 for the model's.
        rope_freq_scale: Factor of its frequencies; 0 for the model's.
        yarn_ext_factor: YaRN's mix; negative for the model's.
        yarn_attn_factor: YaRN's factor of magnitude; negative for the model's.
        yarn_beta_fast: YaRN's low correction; negative for the model's.
        yarn_beta_slow: YaRN's high correction; negative for the model's.
        yarn_orig_ctx: YaRN's original context, in tokens; 0 for the trained one.
        attention: Whether tokens see later ones, a key of :data:`ATTENTION`.
        n_rs_seq: Snapshots of a recurrent state to take back to.
        n_outputs_max: Most outputs of one computation; 0 for ``n_batch``.
        n_outputs_max_per_seq: Most of one sequence; 0 for ``n_outputs_max``.
        no_perf: Don't have the engine measure itself.
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
    swa_full: bool = False
    op_offload: bool = True
    rope_scaling: str = "unspecified"
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    yarn_ext_factor: float = -1.0
    yarn_attn_factor: float = -1.0
    yarn_beta_fast: float = -1.0
    yarn_beta_slow: float = -1.0
    yarn_orig_ctx: int = 0
    attention: str = "unspecified"
    n_rs_seq: int = 0
    n_outputs_max: int = 0
    n_outputs_max_per_seq: int = 1
    no_perf: bool = False

    def native(self) -> Any:
        """Return the C struct.

        Raises:
            UsageError: A value is out of range, or a name unknown.
        """
        for name, (least, most) in CONTEXT_RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} {value} is out of range", f"Use {least} to {most}.")
        params = lib.llamactl_common_context_params()
        for name in CONTEXT_PLAIN:
            setattr(params, name, getattr(self, name))
        params.type_k = choose("KV type", self.type_k, KV_TYPES)
        params.type_v = choose("KV type", self.type_v, KV_TYPES)
        params.flash_attn_type = choose("flash attention", self.flash_attention, FLASH_ATTENTION)
        params.pooling_type = choose("pooling", self.pooling, POOLING)
        params.rope_scaling_type = choose("RoPE scaling", self.rope_scaling, ROPE_SCALING)
        params.attention_type = choose("attention", self.attention, ATTENTION)
        return params
