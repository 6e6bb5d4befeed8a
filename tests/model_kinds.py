"""Tiny models of several kinds, written with the gguf package: random weights, a vocabulary of bytes.

Each has a KV cache, a state or an encoder of another shape, which is what memory and options depend on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH, FEED, HEADS = 64, 128, 4
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *map(chr, range(33, 127)), "▁"]
TYPES = [2, 3, 3, *[6] * 256, *[1] * 95]


class Maker:
    """One file under way."""

    def __init__(self, path: Path, architecture: str, context: int, layers: int = 2) -> None:
        self.writer = gguf.GGUFWriter(str(path), architecture)
        self.random = np.random.default_rng(7)
        self.layers = layers
        self.writer.add_block_count(layers)
        self.writer.add_context_length(context)
        self.writer.add_embedding_length(WIDTH)
        self.writer.add_feed_forward_length(FEED)

    def vocabulary(self, begins: bool = True, ends: bool = False) -> None:
        """Write a tokenizer of bytes and single letters."""
        writer = self.writer
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list(TOKENS)
        writer.add_token_scores([-float(number) for number in range(len(TOKENS))])
        writer.add_token_types(TYPES)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_bos_token(begins)
        writer.add_add_eos_token(ends)
        writer.add_add_space_prefix(False)

    def random_tensor(self, name: str, *shape: int) -> None:
        """Write a tensor of small random numbers."""
        self.writer.add_tensor(name, (self.random.standard_normal(shape) * 0.15).astype(np.float32))

    def constant(self, name: str, length: int, value: float = 1.0) -> None:
        """Write a vector of one number."""
        self.writer.add_tensor(name, np.full(length, value, dtype=np.float32))

    def linear(self, block: str, **shapes: tuple[int, int]) -> None:
        """Write matrices, named by their part of a block."""
        for name, shape in shapes.items():
            self.random_tensor(f"{block}{name}.weight", *shape)

    def head(self) -> None:
        """Write embedding and output."""
        self.random_tensor("token_embd.weight", len(TOKENS), WIDTH)
        self.random_tensor("output.weight", len(TOKENS), WIDTH)
        self.constant("output_norm.weight", WIDTH)

    def finish(self) -> None:
        """Write it all."""
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def _decoder(path: Path, architecture: str = "llama", window: int = 0, experts: int = 0, context: int = 2048,
             kv_heads: int = 2, template: str | None = TEMPLATE, more: Callable[[Any], object] | None = None,
             tokenizer: bool = True) -> None:  # fmt: skip
    maker = Maker(path, architecture, context, layers=6 if window else 2)
    size = WIDTH // HEADS
    writer = maker.writer
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(1e-5)
    if window:
        writer.add_sliding_window(window)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
        writer.add_expert_feed_forward_length(FEED)
    if tokenizer:
        maker.vocabulary()
    else:
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(len(TOKENS))
    if template and tokenizer:
        writer.add_chat_template(template)
    if more:
        more(writer)
    maker.head()
    for layer in range(maker.layers):
        block = f"blk.{layer}."
        maker.constant(block + "attn_norm.weight", WIDTH)
        maker.constant(block + "ffn_norm.weight", WIDTH)
        maker.linear(block, attn_q=(WIDTH, WIDTH), attn_k=(kv_heads * size, WIDTH),
                     attn_v=(kv_heads * size, WIDTH), attn_output=(WIDTH, WIDTH))  # fmt: skip
        if architecture in {"gemma3", "qwen3", "qwen3moe"}:
            maker.constant(block + "attn_q_norm.weight", size)
            maker.constant(block + "attn_k_norm.weight", size)
        if architecture == "gemma3":
            maker.constant(block + "post_attention_norm.weight", WIDTH)
            maker.constant(block + "post_ffw_norm.weight", WIDTH)
        if experts:
            maker.linear(block, ffn_gate_inp=(experts, WIDTH))
            for name, shape in (("gate", (FEED, WIDTH)), ("up", (FEED, WIDTH)), ("down", (WIDTH, FEED))):
                maker.random_tensor(f"{block}ffn_{name}_exps.weight", experts, *shape)
        else:
            maker.linear(block, ffn_gate=(FEED, WIDTH), ffn_up=(FEED, WIDTH), ffn_down=(WIDTH, FEED))
    maker.finish()


def _mamba(path: Path) -> None:
    maker = Maker(path, "mamba", 2048)
    inner, state, rank, kernel = 2 * WIDTH, 16, 4, 4
    writer = maker.writer
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_layer_norm_rms_eps(1e-5)
    maker.vocabulary()
    maker.head()
    for layer in range(maker.layers):
        block = f"blk.{layer}."
        maker.constant(block + "attn_norm.weight", WIDTH)
        maker.linear(block, ssm_in=(2 * inner, WIDTH), ssm_conv1d=(inner, kernel), ssm_x=(rank + 2 * state, inner),
                     ssm_dt=(inner, rank), ssm_out=(WIDTH, inner))  # fmt: skip
        maker.constant(block + "ssm_conv1d.bias", inner, 0.1)
        maker.constant(block + "ssm_dt.bias", inner, 0.1)
        writer.add_tensor(block + "ssm_a", np.full((inner, state), -0.5, dtype=np.float32))
        maker.constant(block + "ssm_d", inner, 0.1)
    maker.finish()


def _hybrid(path: Path) -> None:
    """Most layers are short convolutions, the second one has attention."""
    maker = Maker(path, "lfm2", 4096, layers=4)
    writer = maker.writer
    writer.add_head_count(HEADS)
    writer.add_head_count_kv([0, 2, 0, 0])
    writer.add_vocab_size(len(TOKENS))
    writer.add_shortconv_l_cache(3)
    writer.add_layer_norm_rms_eps(1e-5)
    maker.vocabulary()
    maker.random_tensor("token_embd.weight", len(TOKENS), WIDTH)
    maker.constant("token_embd_norm.weight", WIDTH)
    size = WIDTH // HEADS
    for layer in range(maker.layers):
        block = f"blk.{layer}."
        maker.constant(block + "attn_norm.weight", WIDTH)
        maker.constant(block + "ffn_norm.weight", WIDTH)
        maker.linear(block, ffn_gate=(FEED, WIDTH), ffn_up=(FEED, WIDTH), ffn_down=(WIDTH, FEED))
        if layer == 1:
            maker.constant(block + "attn_q_norm.weight", size)
            maker.constant(block + "attn_k_norm.weight", size)
            maker.linear(block, attn_q=(WIDTH, WIDTH), attn_k=(2 * size, WIDTH), attn_v=(2 * size, WIDTH),
                         attn_output=(WIDTH, WIDTH))  # fmt: skip
        else:
            maker.random_tensor(block + "shortconv.conv.weight", WIDTH, 3)
            maker.random_tensor(block + "shortconv.in_proj.weight", 3 * WIDTH, WIDTH)
            maker.random_tensor(block + "shortconv.out_proj.weight", WIDTH, WIDTH)
    maker.finish()


def _bert(path: Path, pooling: int = 1, context: int = 2048) -> None:
    maker = Maker(path, "bert", context)
    writer = maker.writer
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType(pooling))
    writer.add_token_type_count(2)
    maker.vocabulary(ends=True)
    maker.random_tensor("token_embd.weight", len(TOKENS), WIDTH)
    maker.random_tensor("position_embd.weight", context, WIDTH)
    maker.random_tensor("token_types.weight", 2, WIDTH)
    maker.constant("token_embd_norm.weight", WIDTH)
    maker.constant("token_embd_norm.bias", WIDTH, 0.0)
    if pooling == gguf.PoolingType.RANK:
        maker.linear("", cls=(WIDTH, WIDTH))
        maker.constant("cls.bias", WIDTH, 0.0)
        maker.random_tensor("cls.output.weight", 1, WIDTH)
        maker.constant("cls.output.bias", 1, 0.0)
    for layer in range(maker.layers):
        block = f"blk.{layer}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            maker.random_tensor(f"{block}{name}.weight", WIDTH, WIDTH)
            maker.constant(f"{block}{name}.bias", WIDTH, 0.0)
        maker.linear(block, ffn_up=(FEED, WIDTH), ffn_down=(WIDTH, FEED))
        maker.constant(block + "ffn_up.bias", FEED, 0.0)
        maker.constant(block + "ffn_down.bias", WIDTH, 0.0)
        for name in ("attn_output_norm", "layer_output_norm"):
            maker.constant(f"{block}{name}.weight", WIDTH)
            maker.constant(f"{block}{name}.bias", WIDTH, 0.0)
    maker.finish()


def _t5(path: Path) -> None:
    maker = Maker(path, "t5", 2048)
    writer = maker.writer
    writer.add_head_count(HEADS)
    writer.add_key_length(16)
    writer.add_value_length(16)
    writer.add_layer_norm_eps(1e-6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_relative_attn_buckets_count(32)
    writer.add_decoder_start_token_id(0)
    maker.vocabulary(begins=False, ends=True)
    maker.random_tensor("token_embd.weight", len(TOKENS), WIDTH)
    maker.random_tensor("output.weight", len(TOKENS), WIDTH)
    square = (WIDTH, WIDTH)
    for side in ("enc", "dec"):
        maker.constant(f"{side}.output_norm.weight", WIDTH)
        for layer in range(maker.layers):
            block = f"{side}.blk.{layer}."
            maker.linear(block, attn_q=square, attn_k=square, attn_v=square, attn_o=square,
                         ffn_gate=(FEED, WIDTH), ffn_up=(FEED, WIDTH), ffn_down=(WIDTH, FEED))  # fmt: skip
            maker.constant(block + "attn_norm.weight", WIDTH)
            maker.constant(block + "ffn_norm.weight", WIDTH)
            if layer == 0:
                maker.random_tensor(block + "attn_rel_b.weight", 32, HEADS)
            if side == "dec":
                maker.constant(block + "cross_attn_norm.weight", WIDTH)
                maker.linear(block, cross_attn_q=square, cross_attn_k=square, cross_attn_v=square,
                             cross_attn_o=square)  # fmt: skip
    maker.finish()


KINDS: dict[str, Callable[[Path], None]] = {
    "llama": _decoder,
    "qwen3": lambda path: _decoder(path, "qwen3"),
    "gemma3": lambda path: _decoder(path, "gemma3", window=64),
    "moe": lambda path: _decoder(path, "qwen3moe", experts=4),
    "mamba": _mamba,
    "hybrid": _hybrid,
    "t5": _t5,
    "bert": _bert,
    "reranker": lambda path: _bert(path, pooling=4),
    "without tokenizer": lambda path: _decoder(path, tokenizer=False),
    "pooled": lambda path: _decoder(path, "qwen3", more=lambda w: w.add_pooling_type(gguf.PoolingType.LAST)),
}


def model_of(kind: str, folder: Path) -> str:
    """Write a model of a kind and return its path."""
    path = folder / f"{kind.replace(' ', '-')}.gguf"
    if not path.exists():
        KINDS[kind](path)
    return str(path)


def lora_for_llama(path: Path) -> str:
    """Write an adapter for the kind ``llama``."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    random = np.random.default_rng(3)
    for layer in range(2):
        for name, rows in (("attn_q", WIDTH), ("ffn_up", FEED)):
            for part, shape in (("a", (4, WIDTH)), ("b", (rows, 4))):
                weights = random.standard_normal(shape).astype(np.float32)
                writer.add_tensor(f"blk.{layer}.{name}.weight.lora_{part}", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def control_vector(path: Path, width: int = WIDTH) -> str:
    """Write a control vector for two layers."""
    writer = gguf.GGUFWriter(str(path), "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_uint32("controlvector.layer_count", 1)
    writer.add_tensor("direction.1", np.full(width, 3.0, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)
