"""A split model loads by its first part, and says which part is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
from support import Run

PARTS = 3


@pytest.fixture(scope="module")
def parts(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The default model, written again in parts by the gguf package."""
    folder = tmp_path_factory.mktemp("split")
    reader = gguf.GGUFReader(model_path)
    per_part = len(reader.tensors) // PARTS + 1
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama", split_max_tensors=per_part)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            copy_field(writer, field)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("model-*.gguf"))


def copy_field(writer: Any, field: Any) -> None:
    kind = field.types[0]
    items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), kind, sub_type=items)


def text(llamactl: Run, model: Path) -> str:
    result = llamactl(
        "run", "--json", "-q", "--raw", "--temp", "0", "-n", "8", "-c", "256", "-m", str(model), "The capital"
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["memory"]["model"]["resident_bytes"] > 90_000_000
    return str(document["text"])


def test_it_loads_by_its_first_part(llamactl: Run, model_path: Path, parts: list[Path]) -> None:
    assert [part.name[-20:] for part in parts] == [
        f"-{n:05d}-of-{PARTS:05d}.gguf" for n in range(1, PARTS + 1)
    ]
    assert text(llamactl, parts[0]) == text(llamactl, model_path)


def test_a_missing_part_is_named(llamactl: Run, parts: list[Path], tmp_path: Path) -> None:
    for part in (parts[0], parts[2]):
        (tmp_path / part.name).symlink_to(part)
    result = llamactl("run", "-q", "-n", "1", "-m", str(tmp_path / parts[0].name), "Hi")
    assert (result.returncode, result.stdout) == (2, "")
    assert parts[1].name in result.stderr
    assert result.stderr.count("\n") == 1


def test_another_part_is_not_the_model(llamactl: Run, parts: list[Path]) -> None:
    result = llamactl("run", "-q", "-n", "1", "-c", "256", "-m", str(parts[1]), "Hi")
    assert result.returncode in {2, 125}
    assert result.stderr.count("\n") == 1
