"""Write a llama model of random weights that is large enough to be seen in a GPU's memory.

usage: python make_model.py OUT.gguf [LAYERS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

WIDTH, HEADS, KV_HEADS, FORWARD, VOCABULARY, CONTEXT = 1024, 16, 4, 2816, 32000, 4096
UNKNOWN, CONTROL, NORMAL, BYTE = 2, 3, 1, 6


def tokens() -> tuple[list[str], list[float], list[int]]:
    """Return a vocabulary that can write any bytes: the special pieces, 256 bytes, words."""
    words = [f"w{number}" for number in range(VOCABULARY - 259)]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(words)]
    scores = [0.0] * 259 + [-float(number) for number in range(len(words))]
    return names, scores, kinds


def weights(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.float16]:
    """Return random weights; a stretch of them repeats, which makes no difference to a GPU."""
    stretch = (random.standard_normal(1 << 16) / np.sqrt(columns)).astype(np.float16)
    return np.resize(stretch, (rows, columns))


def write(path: Path, layers: int) -> None:
    """Write the model."""
    random = np.random.default_rng(7)
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("random")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(layers)
    out.add_feed_forward_length(FORWARD)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(VOCABULARY)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    names, scores, kinds = tokens()
    out.add_tokenizer_model("llama")
    out.add_token_list(names)
    out.add_token_scores(scores)
    out.add_token_types(kinds)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    ones = np.ones(WIDTH, np.float32)
    out.add_tensor("token_embd.weight", weights(random, VOCABULARY, WIDTH))
    out.add_tensor("output_norm.weight", ones)
    out.add_tensor("output.weight", weights(random, VOCABULARY, WIDTH))
    kv_width = WIDTH // HEADS * KV_HEADS
    for layer in range(layers):
        shapes = {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (kv_width, WIDTH),
            "attn_v": (kv_width, WIDTH),
            "attn_output": (WIDTH, WIDTH),
            "ffn_gate": (FORWARD, WIDTH),
            "ffn_up": (FORWARD, WIDTH),
            "ffn_down": (WIDTH, FORWARD),
        }
        for name in ("attn_norm", "ffn_norm"):
            out.add_tensor(f"blk.{layer}.{name}.weight", ones)
        for name, (rows, columns) in shapes.items():
            out.add_tensor(f"blk.{layer}.{name}.weight", weights(random, rows, columns))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16)
