"""A model and a machine as the command takes them: options, sections, errors."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from llamactl.cli.inspect.machine import MachineSubject
from llamactl.cli.inspect.model import ModelFileOptions, ModelSubject
from llamactl.errors import UsageError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "small.gguf"
    writer = gguf.GGUFWriter(path, "gpt2")
    for name in ("token_embd.weight", "blk.0.attn_q.weight"):
        writer.add_tensor(name, np.zeros((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def listed(path: str, options: ModelFileOptions, only: tuple[str, ...] = ()) -> list[str]:
    document = ModelSubject(path, only, options).document()
    return [tensor["name"] for tensor in document["model"]["tensors"]]


def test_tensors_are_listed_only_when_asked_for(small: str) -> None:
    assert listed(small, ModelFileOptions()) == []
    assert listed(small, ModelFileOptions(tensors=True)) == ["token_embd.weight", "blk.0.attn_q.weight"]
    assert listed(small, ModelFileOptions(), ("tensors",)) == ["token_embd.weight", "blk.0.attn_q.weight"]
    assert listed(small, ModelFileOptions(tensor_filter="attn")) == ["blk.0.attn_q.weight"]


def test_the_engine_is_asked_only_for_a_context(small: str, model_path: Path) -> None:
    assert ModelSubject(small).document()["model"]["memory_needed"] is None
    options = ModelFileOptions(ctx_size=1024, cache_type_k="q8_0", ubatch_size=64)
    needed = ModelSubject(str(model_path), (), options).document()["model"]["memory_needed"]
    assert (needed["n_ctx"], needed["type_k"], needed["type_v"], needed["n_ubatch"]) == (
        1024,
        "q8_0",
        "f16",
        64,
    )
    assert "context of 1,024 tokens" in ModelSubject(str(model_path), ("memory",), options).text()


@pytest.mark.parametrize(
    ("only", "options", "message"),
    [
        (("threads",), ModelFileOptions(), "a model has no such section"),
        ((), ModelFileOptions(ctx_size=-1), "isn't a number of tokens"),
        ((), ModelFileOptions(gpu_layers="many"), "not a number of layers"),
        ((), ModelFileOptions(cache_type_k="q9"), "KV type 'q9' is unknown"),
        ((), ModelFileOptions(flash_attn="maybe"), "flash attention 'maybe' is unknown"),
    ],
)
def test_what_is_asked_wrongly(
    only: tuple[str, ...], options: ModelFileOptions, message: str, model_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        ModelSubject(str(model_path), only, options).text()


def test_a_machine_has_its_engine_and_its_sections() -> None:
    document = MachineSubject().document()
    assert document["kind"] == "machine"
    assert "CPU" in document["machine"]["engine"]["backends"]
    assert MachineSubject(("cpu",)).text().startswith("cpu: ")
    with pytest.raises(UsageError, match="a machine has no such section"):
        MachineSubject(("metadata",)).text()
