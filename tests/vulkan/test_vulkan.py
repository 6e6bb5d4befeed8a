"""Buffers, layers and waiting on a device against ggml's own log and the tensors' sizes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import clean_environment, python_with_llama_cpp

from llamactl.snapshot.gguf.header import read

PROGRAM = Path(__file__).parents[1] / "programs" / "device_llama_cpp_python.py"
LAYERS = 31
"""Of the default model, the output layer included."""
BUFFER = re.compile(r"(\w+) (model|KV|compute) buffer size = +([\d.]+) MiB")
OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
TIMEOUT_S = 600

pytestmark = pytest.mark.timeout(TIMEOUT_S)


def mib(size: int) -> float:
    """As ggml's log writes it."""
    return round(size / 1024 / 1024, 2)


def logged(text: str) -> dict[tuple[str, str], float]:
    """The last size that ggml's log names for each type and kind of buffer."""
    return {(name, kind): float(size) for name, kind, size in BUFFER.findall(text)}


def command(device: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llamactl", *words],
        env=clean_environment(**device), capture_output=True, text=True, check=True, timeout=TIMEOUT_S,
    )  # fmt: skip


def tensors_of(model: Path, layers: range) -> int:
    """Bytes of what lies on the device with these layers: with the last one the output, here the embeddings again."""
    found = 0
    for tensor in read(str(model)).tensors:
        layer = re.match(r"blk\.(\d+)\.", tensor.name)
        if (int(layer[1]) in layers) if layer else True:
            found += tensor.nbytes or 0
    return found


@pytest.mark.parametrize("layers", [LAYERS, 6, 0], ids=["all", "some", "none"])
def test_run_says_what_ggml_says(device: dict[str, str], model_path: Path, layers: int) -> None:
    done = command(
        device,
        "run",
        "-v",
        "--json",
        "--raw",
        "--temp",
        "0",
        "-c",
        "256",
        "-n",
        "2",
        "-ngl",
        str(layers),
        "Once",
    )
    report, log = json.loads(done.stdout), logged(done.stderr)
    setting = report["settings"]["gpu-layers"]
    if not layers:
        assert (setting, report["memory"]["devices"]) == ({"asked": 0, "in_force": 0, "reason": None}, [])
        assert "Vulkan" not in done.stderr
        return
    assert setting["in_force"] == ("all" if layers == LAYERS else layers)
    assert OFFLOADED.search(done.stderr)[1] == str(layers)  # type: ignore[index]
    (found,) = report["memory"]["devices"]
    sizes = (mib(found["weights_bytes"]), mib(found["kv_bytes"]), mib(found["compute_bytes"]))
    assert sizes == tuple(log["Vulkan0", kind] for kind in ("model", "KV", "compute"))
    tensors = tensors_of(model_path, range(LAYERS - layers, LAYERS - 1))
    assert tensors <= found["weights_bytes"] < tensors + (1 << 20)
    assert found["process_bytes"] is None
    assert "software" in found["reason"]


def traced(device: dict[str, str], place: Path, *program: str) -> tuple[dict[str, Any], str]:
    """Record a program; return the report and what the program wrote to stderr."""
    report = place / "report.json"
    recorded = command(device, "trace", "--report", str(report), "--", *program)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found, recorded.stderr


def on_device(report: dict[str, Any]) -> dict[str, Any]:
    (found,) = (row for row in report["devices"]["memory"] if not row["host"])
    assert isinstance(found, dict)
    return found


def gpu_row(report: dict[str, Any]) -> str:
    (row,) = (row for row in report["mechanisms"] if row["name"] == "GPU")
    return " ".join(row["text"])


def test_a_foreign_binding_that_offloads_all(
    device: dict[str, str], model_path: Path, tmp_path: Path
) -> None:
    report, log = traced(device, tmp_path, python_with_llama_cpp(), str(PROGRAM), str(model_path), "99", "4")
    (offload,) = report["devices"]["offloads"]
    assert (offload["asked"], offload["layers"], offload["total"]) == (99, LAYERS, LAYERS)
    assert (offload["devices"], offload["kv_devices"]) == (["Vulkan0"], ["Vulkan0"])
    sizes, found = logged(log), on_device(report)["kinds"]
    assert mib(found["weights"]) == sizes["Vulkan0", "model"]
    assert mib(found["KV cache"]) == sizes["Vulkan0", "KV"]
    assert mib(found["compute"]) == sizes["Vulkan0", "compute"]
    assert on_device(report)["end_bytes"] == 0
    assert "layers: 31 of 31 on Vulkan0 (asked for: 99)" in gpu_row(report)
    token = report["exchange"]["per_token"]
    # The decode starts the work and the sampler waits for it: the decode has it.
    assert token["awaited_us"] > 0.5 * token["decode_us"]
    phases = {row["name"]: row for row in report["phases"]}
    assert phases["sample"]["wall_s"] < 0.05 * phases["decode"]["wall_s"]
    assert "sampler-slow" not in json.dumps(report["findings"])


def test_a_foreign_binding_that_offloads_some(
    device: dict[str, str], model_path: Path, tmp_path: Path
) -> None:
    report, log = traced(device, tmp_path, python_with_llama_cpp(), str(PROGRAM), str(model_path), "6", "2")
    (offload,) = report["devices"]["offloads"]
    assert (offload["asked"], offload["layers"], offload["total"]) == (6, 6, LAYERS)
    assert offload["kv_devices"] == ["CPU", "Vulkan0"]
    assert mib(on_device(report)["kinds"]["weights"]) == logged(log)["Vulkan0", "model"]


def test_our_own_run_and_bench(device: dict[str, str], model_path: Path, tmp_path: Path) -> None:
    words = ("bench", "-m", str(model_path), "-p", "0", "-n", "1", "-r", "1", "-ngl", "99", "-o", "json")
    report, _ = traced(device, tmp_path, sys.executable, "-m", "llamactl", *words)
    assert "Vulkan0" in gpu_row(report)
    assert report["devices"]["offloads"][-1]["layers"] == LAYERS
