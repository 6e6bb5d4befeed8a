"""A process's model whose header says impossible things: anybody may have written it, and root looks at it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from llamactl.snapshot.process.buffers import ModelSize, _role
from llamactl.snapshot.process.model_files import read_model

MOST_BYTES = 1 << 20


def model(path: Path, **changed: Callable[[gguf.GGUFWriter, str], None]) -> str:
    writer = gguf.GGUFWriter(path, "llama")
    usual: dict[str, Callable[[gguf.GGUFWriter, str], None]] = {
        name: lambda w, key, value=value: w.add_uint32(key, value)  # type: ignore[misc]
        for name, value in (
            ("block_count", 4), ("embedding_length", 64), ("attention.head_count", 8),
            ("attention.head_count_kv", 2),
        )
    }  # fmt: skip
    for name, add in {**usual, **{key.replace("__", "."): value for key, value in changed.items()}}.items():
        add(writer, f"llama.{name}")
    writer.add_tensor("token_embd.weight", np.zeros((8, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def cache_elements(path: str) -> int | None:
    tracemalloc.start()
    try:
        found = read_model(path, path)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert found is not None
    return found.size.cache_elements


def test_a_sound_model(tmp_path: Path) -> None:
    assert cache_elements(model(tmp_path / "m.gguf")) == 4 * 2 * 16


def test_heads_by_layer(tmp_path: Path) -> None:
    heads = model(tmp_path / "m.gguf", attention__head_count_kv=lambda w, key: w.add_array(key, [1, 0, 2, 2]))
    assert cache_elements(heads) == 5 * 16


@pytest.mark.parametrize(
    ("name", "add"),
    [
        ("block_count", lambda w, key: w.add_uint32(key, 1 << 29)),
        ("block_count", lambda w, key: w.add_uint64(key, 1 << 62)),
        ("block_count", lambda w, key: w.add_int32(key, -4)),
        ("block_count", lambda w, key: w.add_bool(key, True)),
        ("attention__head_count", lambda w, key: w.add_uint64(key, 1 << 63)),
        ("attention__head_count_kv", lambda w, key: w.add_string(key, "eight")),
        ("attention__head_count_kv", lambda w, key: w.add_array(key, ["a", "b", "c", "d"])),
        ("attention__head_count_kv", lambda w, key: w.add_array(key, [1.5, float("nan")])),
        ("attention__head_count_kv", lambda w, key: w.add_array(key, [2, -2, 2, 2])),
        ("embedding_length", lambda w, key: w.add_string(key, "wide")),
    ],
)
def test_what_no_model_has_is_unknown(
    tmp_path: Path, name: str, add: Callable[[gguf.GGUFWriter, str], None]
) -> None:
    assert cache_elements(model(tmp_path / "m.gguf", **{name: add})) is None


@pytest.mark.parametrize("elements", [1, 2, (1 << 20) ** 3])
def test_a_cache_of_an_absurd_size_fits_no_buffer(elements: int) -> None:
    size = ModelSize("m.gguf", 1, 1, elements)
    assert _role(5 << 20, [size])[0] == "unknown"
