"""What our reader says is what the reference reader (the gguf package) says."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from llamactl.snapshot.gguf import check, header, types, values

pytest_plugins = ["gguf_models"]


def reference_metadata(path: Path) -> dict[str, object]:
    fields = gguf.GGUFReader(path).fields.values()
    return {field.name: field.contents() for field in fields if not field.name.startswith("GGUF.")}


def compare(path: Path) -> None:
    ours = header.read(str(path))
    metadata = {name: values.read(ours, name) for name in ours.metadata}
    assert metadata == reference_metadata(path)
    reference = gguf.GGUFReader(path)
    assert ours.version == reference.fields["GGUF.version"].contents()
    assert ours.n_tensors == len(reference.tensors) == len(ours.tensors)
    assert ours.data_offset == reference.data_offset
    assert ours.alignment == reference.alignment
    for mine, theirs in zip(ours.tensors, reference.tensors, strict=True):
        assert mine.name == theirs.name
        assert mine.shape == tuple(int(size) for size in theirs.shape)
        assert mine.type_name == theirs.tensor_type.name
        assert mine.n_elements == theirs.n_elements
        assert mine.nbytes == theirs.n_bytes
        assert ours.data_offset + mine.offset == theirs.data_offset


def test_small_models_equal_the_reference(small_model: Path) -> None:
    compare(small_model)
    assert check.check(str(small_model)) is None


def test_the_default_model_equals_the_reference(model_path: Path) -> None:
    compare(model_path)
    assert check.check(str(model_path)) is None


def test_version_2_is_read_as_version_3_is(llama_model: Path, tmp_path: Path) -> None:
    raw = bytearray(llama_model.read_bytes())
    raw[4] = 2
    old = tmp_path / "v2.gguf"
    old.write_bytes(raw)
    assert header.read(str(old)).version == 2
    compare(old)


# The released gguf package gives Q8_1, which no file uses, two bytes per block more than ggml does.
@pytest.mark.parametrize("name", [kind.name for kind in gguf.GGMLQuantizationType if kind.name != "Q8_1"])
def test_every_tensor_type_of_the_reference_is_known_with_its_size(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    assert types.TENSOR_TYPES[kind.value] == (name, *gguf.GGML_QUANT_SIZES[kind])


def test_every_file_type_of_the_reference_is_known() -> None:
    kinds = [kind for kind in gguf.LlamaFileType if kind.name != "GUESSED"]
    expected = {kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in kinds}
    assert {number: types.FILE_TYPES.get(number) for number in expected} == expected
