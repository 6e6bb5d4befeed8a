"""What a person is told about a model."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import pytest

from llamactl.process import kernel
from llamactl.snapshot.gguf import model
from llamactl.snapshot.gguf.groups import part_of

pytest_plugins = ["gguf_models"]


def test_a_model_in_short(llama_model: Path) -> None:
    found = model.snapshot(str(llama_model))
    assert (found.architecture, found.licence, found.file_type) == ("llama", "apache-2.0", "Q4_K_M")
    assert (found.context_length, found.block_count, found.embedding_length) == (512, 2, 256)
    assert (found.head_count, found.head_count_kv, found.expert_count) == (4, 2, None)
    assert found.name == "tiny \x1b[31mllama\nsecond line"
    assert found.chat_template is not None
    assert "message.content" in found.chat_template
    assert found.tokenizer == model.Tokenizer("gpt2", None, 3000, 3000, {"bos": 1, "eos": 2})
    assert found.fault is None
    assert found.tensors == ()


def test_sums_equal_the_references(llama_model: Path) -> None:
    found = model.snapshot(str(llama_model))
    reference = gguf.GGUFReader(llama_model).tensors
    assert found.parameters == sum(int(tensor.n_elements) for tensor in reference)
    assert found.weight_bytes == sum(int(tensor.n_bytes) for tensor in reference)
    assert sum(group.n_tensors for group in found.groups) == len(reference)
    assert sum(group.parameters for group in found.groups) == found.parameters
    kinds = {(group.part, group.type_name) for group in found.groups}
    assert {("attention", "Q4_K"), ("feed-forward", "Q8_0"), ("embedding", "Q6_K")} <= kinds


def test_tensors_are_listed_by_pattern(llama_model: Path) -> None:
    def names(pattern: str) -> list[str]:
        return [tensor.name for tensor in model.snapshot(str(llama_model), pattern).tensors]

    assert len(names("*")) == 8
    assert len(names("")) == 8
    assert names("blk.1.*") == [f"blk.1.{each}.weight" for each in ("attn_q", "ffn_down", "attn_norm")]
    assert names("attn_q") == ["blk.0.attn_q.weight", "blk.1.attn_q.weight"]
    assert names("nothing like it") == []


def test_what_is_in_the_page_cache_is_told_by_file_and_tensor(llama_model: Path) -> None:
    found = model.snapshot(str(llama_model), "*")
    (part,) = found.parts
    assert part.cached_bytes == part.size_bytes == llama_model.stat().st_size
    for tensor in found.tensors:
        assert tensor.cached_bytes is not None
        assert tensor.nbytes is not None
        assert tensor.cached_bytes >= tensor.nbytes
    with llama_model.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    (part,) = model.snapshot(str(llama_model)).parts
    if part.cached_bytes == part.size_bytes:
        pytest.skip("the file system of the temporary folder doesn't drop pages on request")
    assert part.cached_bytes == 0
    # Looking has brought back the header, and no weights.
    (part,) = model.snapshot(str(llama_model)).parts
    assert part.cached_bytes is not None
    assert part.data_offset is not None
    assert part.data_offset <= part.cached_bytes < part.data_offset + 64 * 1024 + kernel.PAGE_BYTES


def test_long_arrays_are_counted_and_short_ones_told(small_model: Path) -> None:
    metadata = {each.key: each for each in model.snapshot(str(small_model)).metadata}
    reference = gguf.GGUFReader(small_model).fields
    assert set(metadata) == {name for name in reference if not name.startswith("GGUF.")}
    for key, each in metadata.items():
        contents = reference[key].contents()
        if each.count is not None and each.count > model.SHOWN_ELEMENTS:
            assert (each.value, each.count) == (None, len(contents))
        else:
            assert each.value == contents


def test_a_damaged_model_is_told_up_to_the_fault(llama_model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(llama_model.read_bytes()[:-5000])
    found = model.snapshot(str(damaged), "*")
    assert found.fault is not None
    assert found.architecture == "llama"
    assert len(found.tensors) == 8
    assert found.tensors[-1].cached_bytes is None


def test_a_file_that_is_no_model_is_a_fault_not_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.gguf"
    path.touch()
    found = model.snapshot(str(path))
    assert found.fault is not None
    assert (found.architecture, found.parameters, found.groups) == (None, None, ())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("token_embd.weight", "embedding"),
        ("output.weight", "output"),
        ("output_norm.weight", "normalisation"),
        ("blk.0.attn_output.weight", "attention"),
        ("blk.0.attn_norm.weight", "normalisation"),
        ("blk.3.ffn_gate_exps.weight", "experts"),
        ("blk.3.ffn_gate_inp.weight", "experts"),
        ("blk.3.ffn_up.weight", "feed-forward"),
        ("blk.0.ssm_conv1d.weight", "state space"),
        ("rope_freqs.weight", "other"),
    ],
)
def test_the_part_of_a_tensor(name: str, part: str) -> None:
    assert part_of(name) == part
