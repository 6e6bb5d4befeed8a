"""The memory that is foretold is the memory that the engine then takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from model_kinds import model_of

from llamactl.engine import Context, ContextParameters, Model, ModelParameters
from llamactl.errors import LlamactlError, UsageError
from llamactl.process import kernel
from llamactl.run.memory_needed import memory_needed


@pytest.mark.parametrize(
    "parameters",
    [
        ContextParameters(n_ctx=1024),
        ContextParameters(n_ctx=2048, n_batch=256, n_ubatch=128, type_k="q8_0", type_v="q8_0"),
    ],
)
def test_it_is_what_the_engine_takes(model_path: Path, parameters: ContextParameters) -> None:
    found = memory_needed(str(model_path), parameters)
    with Model(model_path, ModelParameters(load_mode="none")) as model, Context(model, parameters) as context:
        truth = context.memory()
        assert found.n_ctx == context.n_ctx
    assert found.buffers == truth
    for part in ("weights", "context", "compute"):
        name = "model_bytes" if part == "weights" else f"{part}_bytes"
        total = sum(getattr(device, f"{part}_bytes") for device in found.devices)
        assert total == sum(getattr(buffer, name) for buffer in truth) > 0


def test_a_larger_context_needs_more_and_a_smaller_type_less(model_path: Path) -> None:
    def kv(n_ctx: int, kind: str) -> int:
        parameters = ContextParameters(n_ctx=n_ctx, type_k=kind, type_v=kind)
        return memory_needed(str(model_path), parameters).devices[0].context_bytes

    small, large, packed = kv(1024, "f16"), kv(4096, "f16"), kv(4096, "q8_0")
    # 30 layers x (K + V) x 3 heads x 64 wide x 2 bytes for each token.
    assert large - small == 3072 * 30 * 2 * 3 * 64 * 2
    assert packed < large


@pytest.mark.parametrize("kind", ["llama", "gemma3", "hybrid", "mamba"])
def test_a_context_too_large_to_try_is_foretold_from_smaller_ones(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = model_of(kind, tmp_path), ContextParameters(n_ctx=3_000_000)
    foretold = memory_needed(path, asked)
    monkeypatch.setattr("llamactl.run.memory_needed.LARGEST_TRIED", 2**22)
    assert foretold.buffers == memory_needed(path, asked).buffers


def test_the_largest_context_is_told_with_little_memory(model_path: Path) -> None:
    """The engine's record of each cell alone would take more than 100 GiB."""
    program = """
import re, sys
from pathlib import Path
from llamactl.engine import ContextParameters
from llamactl.run.memory_needed import memory_needed
needed = memory_needed(sys.argv[1], ContextParameters(n_ctx=2**31 - 1))
# 30 layers x (K + V) x 3 heads x 64 wide x 2 bytes for each token.
print(needed.n_ctx, needed.devices[0].context_bytes >= (2**31 - 1) * 30 * 2 * 3 * 64 * 2)
# Not getrusage(2): its peak is handed on by whoever started this process (execve).
peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(peak_kib < 2**19, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, model_path], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("2147483647 True\n", "True\n")


def test_no_weights_are_read_for_it(model_path: Path, tmp_path: Path) -> None:
    hollow = tmp_path / "hollow.gguf"
    with model_path.open("rb") as source, hollow.open("wb") as copy:
        copy.write(source.read(2 * 1024 * 1024))
        copy.truncate(model_path.stat().st_size)
    parameters = ContextParameters(n_ctx=512)
    needed = memory_needed(str(hollow), parameters)
    assert needed.buffers == memory_needed(str(model_path), parameters).buffers
    with hollow.open("rb") as file:
        cached = kernel.page_cache(file.fileno(), 4 * 1024 * 1024)
    assert cached is not None
    assert cached.cached_bytes <= 64 * 1024


def test_a_damaged_file_never_reaches_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(UsageError, match="version 0"):
        memory_needed(str(path), ContextParameters())


def test_a_type_that_the_engine_does_not_know(model_path: Path) -> None:
    with pytest.raises(LlamactlError, match="KV type"):
        memory_needed(str(model_path), ContextParameters(type_k="q9"))
