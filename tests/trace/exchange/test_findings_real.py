"""Each finding in a program that deserves it, and not in the same program without the fault."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from exchange_support import PROGRAMS, Trace

from llamactl.trace.mechanisms.interface.model_tensors import tensors_of

BINDING = """
import ctypes
def load(path, held):
    return (ctypes.PyDLL if held else ctypes.CDLL)(str(path))
def set_threads(library, count):
    library.llama_set_n_threads(None, count, count)
"""
LEFT = "llamactl-findings-"
BY_THE_CLOCK = {"memory-grows", "binding-overhead"}
TRIES = 3
"""On a machine that lets llamactl wait for seconds, memory is sampled too seldom to tell that it grows."""


def compile_library(target: Path, source: Path | None, *options: str) -> None:
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    target.parent.mkdir(exist_ok=True)
    sources = [str(source)] if source else ["-x", "c", "/dev/null"]
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", *options, *sources, "-o", str(target)], check=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("findings")
    for name in ("binding", "other"):
        compile_library(place / name / "libllama.so", PROGRAMS / "llama_target.c", "-pthread")
    for name in ("libgomp.so.1", "libomp.so.5"):
        compile_library(place / name, None)
    compile_library(place / "workers" / "libllama.so", PROGRAMS / "slow_target.c", "-fopenmp")
    (place / "binding" / "__init__.py").write_text(BINDING)
    writer = gguf.GGUFWriter(place / "model.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.ones((2048, 2048), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return place


def left_behind() -> list[Path]:
    return list(Path("/tmp").glob(f"{LEFT}*"))


def test_every_fault_is_found(trace: Trace, folder: Path) -> None:
    try:
        for _ in range(TRIES):
            for file in left_behind():
                file.unlink()
            traced = trace(sys.executable, str(PROGRAMS / "findings.py"), "bad", str(folder))
            found = traced.findings()
            if found.keys() >= BY_THE_CLOCK:
                break
        assert found["threads-over-budget"]["figures"]["threads"] == 4096
        assert found["load-mode"]["figures"]["asked"] == "mmap"
        assert found["load-mode"]["figures"]["in_force"] == "none"
        assert found["mlock-failed"]["figures"]["failed_calls"] == 1
        assert len(found["engine-copies"]["figures"]["libraries"]) == 2
        assert found["openmp-runtimes"]["figures"]["runtimes"] == ["libgomp", "libomp"]
        assert [Path(name) for name in found["temporary-files"]["figures"]["files"]] == left_behind()
        assert found["memory-grows"]["figures"]["per_request_bytes"] == pytest.approx(1 << 20, rel=0.2)
        assert found["gil-held"]["figures"]["held"] == found["gil-held"]["figures"]["count"] == 32
        assert found["binding-overhead"]["figures"]["share"] > 0.1
        wrong = found["wrong-library"]["figures"]
        assert wrong == {
            "loaded": str(folder / "other" / "libllama.so"),
            "own": str(folder / "binding" / "libllama.so"),
        }
        costs = [row["cost_ns"] for row in traced.json["findings"]]
        assert costs == sorted(costs, key=lambda cost: -(cost or 0)), "the most costly first"
        assert all(row["text"] in " ".join(traced.report.split()) for row in traced.json["findings"])
    finally:
        for file in left_behind():
            file.unlink()


def test_nothing_is_found_without_faults(trace: Trace, folder: Path) -> None:
    traced = trace(sys.executable, str(PROGRAMS / "findings.py"), "good", str(folder))
    found = traced.findings()
    starved = found.pop("cpu-starved", None)  # True where other programs use the machine as well.
    assert starved is None or starved["figures"]["why"] == "neighbours"
    assert found == {}


@pytest.mark.parametrize("policy", ["active", "passive"])
def test_threads_that_spin(trace: Trace, folder: Path, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    traced = trace(sys.executable, "-c", PAUSES, str(folder / "workers" / "libllama.so"))
    if policy == "passive":
        assert "spinning" not in traced.findings()
        return
    finding = traced.findings()["spinning"]
    assert finding["figures"]["threads"] == 1
    assert 0.5 <= finding["figures"]["spun_ns"] / finding["figures"]["between_calls_ns"] <= 1
    assert "OMP_WAIT_POLICY" in finding["remedy"]


PAUSES = """
import ctypes, sys, threading
pause = threading.Event()
library = ctypes.CDLL(sys.argv[1])
class Batch(ctypes.Structure):
    _fields_ = (("n_tokens", ctypes.c_int32), ("rest", ctypes.c_void_p * 6))
ctypes.c_int32.in_dll(library, "llama_threads").value = 2
for _ in range(40):
    library.llama_decode(None, Batch(1))
    pause.wait(0.01)
"""


def test_the_disk_is_read_while_generating(trace: Trace, folder: Path) -> None:
    model = folder / "model.gguf"
    with model.open("rb") as file:
        os.fsync(file.fileno())
    ((offset, size, _),) = tensors_of(os.fsencode(model))
    traced = trace(
        sys.executable, str(PROGRAMS / "slow_by_kernel.py"), str(folder / "workers" / "libllama.so"),
        "faults", str(model), str(offset), str(size),
    )  # fmt: skip
    disk = next(row for row in traced.json["counters"] if row["name"] == "read_bytes")
    if disk["last"] - disk["first"] < 2 << 20:
        pytest.skip("the file's pages can't be dropped from memory here")
    assert traced.findings()["disk-while-generating"]["figures"]["read_bytes"] > 1 << 20
