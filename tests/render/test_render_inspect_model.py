"""A model as text and as JSON: within 80 columns, safe to print, valid by the schema."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import jsonschema
import numpy as np
import pytest

from llamactl.render.document import dumps, schema
from llamactl.render.inspect.model import SECTIONS, model_text
from llamactl.render.inspect.model_json import model_document
from llamactl.snapshot.gguf.model import snapshot


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose strings are meant to disturb a terminal, and whose floats JSON doesn't know."""
    path = tmp_path_factory.mktemp("model") / "a model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("\x1b[2Jgone\x07\nsecond line \u202eflipped")
    writer.add_context_length(4096)
    writer.add_chat_template("first\x1b]0;title\x07\nsecond")
    writer.add_float32("test.infinite", float("inf"))
    writer.add_float32("test.nan", float("nan"))
    writer.add_array("test.numbers", [1.5, float("-inf")])
    writer.add_token_list([f"token{number}" for number in range(100)])
    writer.add_string("x" * 200, "y" * 5000)
    for number in range(3):
        name = f"blk.{number}.ffn_a_name_as_long_as_they_can_be_in_ggml_{number}"
        writer.add_tensor(name, np.zeros((123, 45, 6), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("only", [(), *((name,) for name in SECTIONS)])
def test_text_fits_and_is_safe(model: Path, only: tuple[str, ...]) -> None:
    text = model_text(snapshot(str(model), "*"), None, only)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert text.endswith("\n")


def test_the_summary_says_what_is_known_and_what_is_not(model: Path) -> None:
    lines = {line[2:16].strip(): line[17:] for line in model_text(snapshot(str(model))).splitlines()}
    assert lines["context"] == "trained for 4,096 tokens"
    assert lines["licence"] == "unknown"
    assert lines["name"] == "\\x1b[2Jgone\\x07\\nsecond line \\u202eflipped"
    assert "in memory (100 %, " in lines["page cache"]
    assert lines["file"].startswith("GGUF version 3, ")


def test_a_fault_is_the_first_thing_said(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(model.read_bytes()[:-100])
    for only in ((), ("metadata",), ("groups",)):
        text = model_text(snapshot(str(damaged)), None, only)
        assert "not sound: the file ends" in " ".join(text.split("\n\n")[0].split())


def validated(document: dict[str, object]) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(dumps(document))
    jsonschema.Draft202012Validator(schema("inspect-model")).validate(parsed)
    return parsed


def test_the_schema_is_one() -> None:
    for name in ("inspect-model", "inspect-machine"):
        jsonschema.Draft202012Validator.check_schema(schema(name))
        assert schema(name)["properties"]["schema"] == {"const": "llamactl.inspect"}


def test_the_document_is_valid_and_exact(model: Path) -> None:
    parsed = validated(model_document(snapshot(str(model), "*")))
    found = parsed["model"]
    assert isinstance(found, dict)
    metadata = {each["key"]: each["value"] for each in found["metadata"]}
    assert metadata["test.infinite"] == "inf"
    assert metadata["test.nan"] == "nan"
    assert metadata["test.numbers"] == [1.5, "-inf"]
    assert metadata["general.name"] == "\x1b[2Jgone\x07\nsecond line \u202eflipped"
    assert metadata["tokenizer.ggml.tokens"] is None
    assert [each["shape"] for each in found["tensors"]] == [[6, 45, 123]] * 3
    assert found["licence"] is None


@pytest.mark.parametrize("length", [0, 10, 30, 400, 5000])
def test_damaged_models_give_valid_documents_and_text(model: Path, tmp_path: Path, length: int) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(model.read_bytes()[:length])
    found = snapshot(str(damaged), "*")
    parsed = validated(model_document(found))
    assert isinstance(parsed["model"], dict)
    assert parsed["model"]["fault"]["offset"] <= length
    for name in SECTIONS:
        assert model_text(found, None, (name,))
