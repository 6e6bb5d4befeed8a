"""Small models of several architectures, written by the reference implementation (the gguf package)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

VOCABULARY = 3000


Kind = gguf.GGMLQuantizationType


def _quantized(writer: gguf.GGUFWriter, name: str, rows: int, columns: int, kind: Kind) -> None:
    block, nbytes = gguf.GGML_QUANT_SIZES[kind]
    raw = np.arange(rows * columns // block * nbytes, dtype=np.uint64).astype(np.uint8)
    writer.add_tensor(name, raw.reshape(rows, columns // block * nbytes), raw_dtype=kind)


def _tokenizer(writer: gguf.GGUFWriter, model: str) -> None:
    writer.add_tokenizer_model(model)
    writer.add_token_list([f"▁token{number}" for number in range(VOCABULARY)])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _llama(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny \x1b[31mllama\nsecond line")
    writer.add_license("apache-2.0")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(256)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_file_type(15)
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}")
    _tokenizer(writer, "gpt2")
    writer.add_token_merges([f"a b{number}" for number in range(VOCABULARY)])
    _quantized(writer, "token_embd.weight", 100, 256, Kind.Q6_K)
    for block in range(2):
        _quantized(writer, f"blk.{block}.attn_q.weight", 256, 256, Kind.Q4_K)
        _quantized(writer, f"blk.{block}.ffn_down.weight", 256, 256, Kind.Q8_0)
        writer.add_tensor(f"blk.{block}.attn_norm.weight", np.ones(256, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(256, dtype=np.float32))


def _gpt2(writer: gguf.GGUFWriter) -> None:
    writer.add_custom_alignment(64)
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(48)
    writer.add_head_count(3)
    _tokenizer(writer, "gpt2")
    writer.add_tensor("token_embd.weight", np.zeros((50, 48), dtype=np.float16))
    writer.add_tensor("position_embd.weight", np.zeros((128, 48), dtype=np.float32))
    writer.add_tensor("blk.0.attn_qkv.bias", np.zeros(7, dtype=np.float32))


def _mamba(writer: gguf.GGUFWriter) -> None:
    writer.add_block_count(1)
    writer.add_context_length(1 << 20)
    writer.add_embedding_length(64)
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_state_size(16)
    writer.add_float64("test.f64", 2.5)
    writer.add_int64("test.i64", -(1 << 40))
    writer.add_uint64("test.u64", 1 << 63)
    writer.add_int8("test.i8", -5)
    writer.add_uint8("test.u8", 5)
    writer.add_int16("test.i16", -500)
    writer.add_bool("test.yes", True)
    writer.add_array("test.floats", [0.5, 1.5])
    writer.add_array("test.bools", [True, False])
    writer.add_tensor("blk.0.ssm_a", np.zeros((2, 3, 4, 5), dtype=np.float32))
    writer.add_tensor("blk.0.ssm_conv1d.weight", np.zeros((8, 4), dtype=np.int32))


Fill = Callable[[gguf.GGUFWriter], None]
ARCHITECTURES: dict[str, Fill] = {"llama": _llama, "gpt2": _gpt2, "mamba": _mamba}


def write_model(path: Path, architecture: str) -> Path:
    """Write a small model of one of ``ARCHITECTURES``."""
    writer = gguf.GGUFWriter(path, architecture)
    ARCHITECTURES[architecture](writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session", params=sorted(ARCHITECTURES))
def small_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model, of each architecture in turn."""
    return write_model(tmp_path_factory.mktemp("models") / f"{request.param}.gguf", request.param)


@pytest.fixture(scope="session")
def llama_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one with a vocabulary, merges, a chat template and quantised tensors."""
    return write_model(tmp_path_factory.mktemp("llama") / "llama.gguf", "llama")


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The default model; ``LLAMACTL_TEST_MODEL`` names it."""
    named = os.environ.get("LLAMACTL_TEST_MODEL")
    if not named or not Path(named).is_file():
        pytest.skip("LLAMACTL_TEST_MODEL doesn't name the default model")
    return Path(named)
