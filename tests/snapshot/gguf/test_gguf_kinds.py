"""What a file is that somebody gave as a model: another format, or GGUF that holds something else."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from support import Run

from llamactl.errors import UsageError
from llamactl.snapshot.gguf.check import check_model
from llamactl.snapshot.gguf.model import snapshot
from llamactl.snapshot.gguf.splits import files_of

gguf = pytest.importorskip("gguf")
np = pytest.importorskip("numpy")

OTHERS = {
    "web page": (b"\n<!DOCTYPE html>\n<html lang=en>" + b"x" * 99, "but a web page", "/resolve/"),
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n",
        "Git LFS",
        "git lfs pull",
    ),
    "error": (b'{"error":"Repository not found"}', "JSON text", "Download the file itself"),
    "safetensors": (struct.pack("<Q", 900) + b'{"a":{"dtype":"F16"', "safetensors", "convert_hf_to_gguf.py"),
    "zip": (b"PK\x03\x04" + b"a" * 80, "PyTorch", "convert_hf_to_gguf.py"),
    "ggml": (b"tjgg" + b"\3\0\0\0" * 20, "an old format", "from the original weights"),
    "gzip": (b"\x1f\x8b\x08" + b"a" * 80, "compressed", "Unpack"),
    "zeros": (bytes(4096), "only zeros", "Download it again"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian", "to little-endian"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1", "from the original weights"),
    "version 9": (b"GGUF" + struct.pack("<IQQ", 9, 0, 0), "GGUF version 9", "update llamactl"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_format_is_named_with_what_to_do(name: str, tmp_path: Path) -> None:
    data, what, remedy = OTHERS[name]
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        check_model(str(path))
    assert what in caught.value.message
    assert remedy in caught.value.hint
    assert "Download it again" not in caught.value.hint or name == "zeros", "the same file would come again"


def write(path: Path, architecture: str, kind: str | None, weights: bool = True, **metadata: Any) -> Path:
    """Write a GGUF file of a kind, with one small tensor."""
    writer = gguf.GGUFWriter(str(path), architecture)
    if kind:
        writer.add_type(kind)
    for key, value in metadata.items():
        name = key.replace("__", ".")
        writer.add_string(name, value) if isinstance(value, str) else writer.add_uint32(name, value)
    if weights:
        writer.add_tensor("blk.0.attn_q.weight", np.zeros((8, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


KINDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "adapter": (
        {"architecture": "llama", "kind": "adapter", "adapter__type": "lora"},
        "a LoRA adapter for llama models",
        "--lora",
    ),
    "control vector": (
        {"architecture": "controlvector", "kind": None, "controlvector__model_hint": "llama"},
        "a control vector for llama models",
        "--control-vector",
    ),
    "projector": ({"architecture": "clip", "kind": "mmproj"}, "a projector", "-m"),
    "imatrix": (
        {"architecture": "llama", "kind": "imatrix", "imatrix__chunk_count": 3},
        "an importance matrix",
        "llama-quantize",
    ),
    "vocabulary": (
        {"architecture": "llama", "kind": None, "weights": False, "tokenizer__ggml__model": "llama"},
        "a vocabulary without weights",
        "weights",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_gguf_that_is_no_model_is_refused_and_shown(kind: str, tmp_path: Path, llamactl: Run) -> None:
    made, what, remedy = KINDS[kind]
    path = write(tmp_path / "file.gguf", **made)
    with pytest.raises(UsageError) as caught:
        check_model(str(path))
    assert what in caught.value.message
    assert remedy in caught.value.hint
    found = snapshot(str(path))
    assert (found.kind, found.general_type) == (kind, made["kind"])
    done = llamactl("inspect", str(path))
    assert (done.returncode, kind in done.stdout) == (0, True)


def test_a_whole_model_may_have_the_name_of_a_part(tmp_path: Path, llamactl: Run, model_path: Path) -> None:
    """What the header says counts, for inspect and run alike."""
    path = tmp_path / "x-00001-of-00003.gguf"
    path.symlink_to(model_path)
    assert files_of(str(path)) == [str(path)]
    assert llamactl("inspect", str(path)).returncode == 0
    done = llamactl("run", "-m", str(path), "-q", "-c", "256", "-n", "2", "--raw", "Hi")
    assert (done.returncode, done.stderr) == (0, "")
