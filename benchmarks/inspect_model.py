"""`llamactl inspect MODEL` against gguf-dump, and against itself on a file a thousand times as large.

Usage: python benchmarks/inspect_model.py [--pairs 10]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import gguf
import numpy as np
from _pairs import LLAMACTL, interleaved, wall_ms

from llamactl.models.default import default_model

LAYERS, VOCABULARY, ALIGNMENT = 80, 32_000, 32
Shape = tuple[int, ...]


def hollow_llama(path: Path, width: int) -> Path:
    """Write the header of a Llama of 80 layers, its weights a hole: the size of the file costs no disk."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(8192)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(4 * width)
    writer.add_head_count(width // 64)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("no_vocab")
    for name, shape in tensors(width).items():
        kind = gguf.GGMLQuantizationType.F32 if len(shape) == 1 else gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor_info(name, shape, np.dtype(np.float32), nbytes(shape), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        begin = -(-file.seek(0, 2) // ALIGNMENT) * ALIGNMENT
        file.truncate(begin + sum(map(nbytes, tensors(width).values())))
    return path


def nbytes(shape: Shape) -> int:
    """Return the bytes of a vector of F32 or a matrix of Q8_0, whose blocks of 32 take 34."""
    return 4 * shape[0] if len(shape) == 1 else shape[0] * shape[1] // 32 * 34


def tensors(width: int) -> dict[str, Shape]:
    """Return the tensors of a Llama with their shapes, rows first."""
    found: dict[str, Shape] = {
        "token_embd.weight": (VOCABULARY, width),
        "output.weight": (VOCABULARY, width),
        "output_norm.weight": (width,),
    }
    for layer in range(LAYERS):
        square = {f"attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
        wide = {"ffn_gate": (4 * width, width), "ffn_up": (4 * width, width), "ffn_down": (width, 4 * width)}
        norms = {"attn_norm": (width,), "ffn_norm": (width,)}
        for name, shape in {**square, **wide, **norms}.items():
            found[f"blk.{layer}.{name}.weight"] = shape
    return found


def main() -> None:
    """Print one line for each comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    pairs = parser.parse_args().pairs
    model = str(default_model())
    dump = str(Path(sys.executable).parent / "gguf-dump")
    inspect = [LLAMACTL, "inspect"]
    print(f"{'':34} {'ours':>9} {'other':>9}        ratio (quartiles)")
    measured = interleaved(lambda: wall_ms([*inspect, model]), lambda: wall_ms([dump, model]), pairs)
    print(measured.row("inspect / gguf-dump", "ms", "<= 0.100"))
    with tempfile.TemporaryDirectory() as folder:
        small = hollow_llama(Path(folder) / "small.gguf", 256)
        large = hollow_llama(Path(folder) / "large.gguf", 8192)
        small_gb, large_gb = (path.stat().st_size / 1e9 for path in (small, large))
        print(f"small: {small_gb:.2f} GB, large: {large_gb:.1f} GB, both of {LAYERS} layers")
        for name, options in {"inspect": [], "inspect -c 4096": ["-c", "4096"]}.items():
            measured = interleaved(
                partial(wall_ms, [*inspect, str(large), *options]),
                partial(wall_ms, [*inspect, str(small), *options]),
                pairs,
            )
            print(measured.row(f"{name}, large / small", "ms", "<= 1.10"))


if __name__ == "__main__":
    main()
