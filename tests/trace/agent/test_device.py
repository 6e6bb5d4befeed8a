"""Calls by which a program works with a device, against what the device's own library wrote down of them.

The library is a small one of ours with the symbols of CUDA's or HIP's runtime (tests/programs/device_runtime.c).
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from agent_support import Trace, Traced, compile_program

from llamactl.trace.capture.record import Kind

FAMILIES = {"cuda": "libcudart.so.13", "hip": "libamdhip64.so.7"}
THREADS, TOKENS = 8, 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the runtimes and a program linked to each."""
    found = tmp_path_factory.mktemp("device")
    for family, name in FAMILIES.items():
        define = f"-DRUNTIME={family}"
        compile_program(
            "cc", found / name, ["device_runtime.c"], define, "-shared", "-fPIC", f"-Wl,-soname,{name}"
        )
        link = (str(found / name), f"-Wl,-rpath,{found}", "-Wl,-z,lazy", "-pthread")
        compile_program("cc", found / f"program_{family}", ["device_program.c"], define, *link)
    return found


def calls_of(result: Traced, name: str | None = None) -> np.ndarray:
    calls = result.records[result.records["kind"] == Kind.DEVICE]
    wanted = [nr for nr, row in enumerate(result.functions) if name in (None, row.name)]
    found: np.ndarray = calls[np.isin(calls["nr"], wanted)]
    return found


def script_of(path: Path) -> dict[str, tuple[int, int]]:
    rows = (line.split() for line in path.read_text().splitlines())
    return {name: (int(calls), int(size)) for name, calls, size in rows}


def run(
    traced: Trace, place: Path, family: str, *arguments: str
) -> tuple[Traced, dict[str, tuple[int, int]]]:
    script = place / "script"
    environment = {**os.environ, "DEVICE_SCRIPT": str(script)}
    result = traced(place / f"program_{family}", *arguments, env=environment)
    assert result.returncode == 0, result.err
    return result, script_of(script)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_call_of_eight_threads_has_its_record(traced: Trace, place: Path, family: str) -> None:
    result, script = run(traced, place, family, "plain", str(THREADS), str(TOKENS))
    counts = Counter(result.functions[nr].name for nr in calls_of(result)["nr"].tolist())
    assert counts == {name: calls for name, (calls, _) in script.items()}
    assert result.losses.records == 0 and not result.counted
    assert len(np.unique(calls_of(result, f"{family}MemcpyAsync")["tid"])) == THREADS


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bytes_are_those_that_the_library_moved(traced: Trace, place: Path, family: str) -> None:
    result, script = run(traced, place, family, "plain", str(THREADS), str(TOKENS))
    for name in (
        "Malloc",
        "MallocHost",
        "MallocManaged",
        "MemcpyAsync",
        "Memcpy",
        "MemcpyPeerAsync",
        "MemsetAsync",
    ):
        calls = calls_of(result, family + name)
        (function,) = (row for row in result.functions if row.name == family + name)
        position = function.position("bytes")
        assert position is not None
        assert int(calls["args"][:, position].sum()) == script[family + name][1], name
    rows = calls_of(result, f"{family}Memcpy2DAsync")["args"]
    assert int((rows[:, 2] * rows[:, 3]).sum()) == script[f"{family}Memcpy2DAsync"][1]


def test_addresses_that_a_function_writes_are_kept(traced: Trace, place: Path) -> None:
    result, _ = run(traced, place, "cuda", "plain", "1", "1")
    made = {int(row["args"][0]) for row in calls_of(result, "cudaMalloc")}
    assert made == {int(row["args"][0]) for row in calls_of(result, "cudaFree")} and 0 not in made
    (end,), (make,), (launch,) = (
        calls_of(result, f"cuda{name}") for name in ("StreamEndCapture", "GraphInstantiate", "GraphLaunch")
    )
    assert end["args"][1] == make["args"][1] != 0, "the graph that was captured is made executable"
    assert make["args"][0] == launch["args"][0] != 0


def test_the_stream_of_a_launch_is_kept(traced: Trace, place: Path) -> None:
    """It is the eighth word of one function's arguments and lies in a structure of the other."""
    result, _ = run(traced, place, "hip", "plain", "1", "1")
    (copied,) = set(calls_of(result, "hipStreamBeginCapture")["args"][:, 0].tolist())
    for name in ("hipLaunchKernel", "hipLaunchKernelExC", "__hipLaunchKernel"):
        assert set(calls_of(result, name)["args"][:, 1].tolist()) == {copied}, name


def test_errors_are_what_the_driver_returned(traced: Trace, place: Path) -> None:
    result, _ = run(traced, place, "cuda", "errors")
    assert calls_of(result, "cudaMalloc")["ret"].tolist() == [2, 2, 2]
    assert calls_of(result, "cudaMalloc")["args"][:, 0].tolist() == [0, 0, 0], "nothing was made"
    assert calls_of(result, "cudaSetDevice")["ret"].tolist() == [1]


def test_functions_that_are_looked_up_by_name_are_recorded(traced: Trace, place: Path) -> None:
    """CUDA's runtime takes the driver's functions from cuGetProcAddress: the linker never sees them."""
    result, script = run(traced, place, "cuda", "lookup")
    (copy,), (launch,) = calls_of(result, "cuMemcpyHtoD"), calls_of(result, "cuLaunchKernel")
    assert int(copy["args"][2]) == script["cuMemcpyHtoD"][1] == 64
    assert int(launch["args"][1]) == 88, "the stream, which is on the stack"
    assert not len(calls_of(result, "cuGetProcAddress_v2"))


def test_a_runtime_s_own_calls_are_its_own_business(traced: Trace, place: Path) -> None:
    """Else a launch would be counted in the runtime and once more in the driver."""
    rpath = f"-Wl,-rpath,{place}"
    runtime = str(place / FAMILIES["cuda"])
    inner = place / "libcublas.so.13"
    compile_program("cc", inner, ["device_algebra.c"], "-shared", "-fPIC", runtime, rpath)
    program = place / "algebra"
    compile_program("cc", program, ["device_algebra_program.c"], str(inner), rpath, "-Wl,-z,lazy")
    result = traced(program)
    assert result.returncode == 0, result.err
    names = Counter(result.functions[nr].name for nr in calls_of(result)["nr"].tolist())
    assert names == {"cublasGemmEx": 3}


def test_nothing_is_recorded_as_a_call_of_llama_cpp(traced: Trace, place: Path) -> None:
    result, _ = run(traced, place, "cuda", "plain", "1", "1")
    assert not len(result.calls())
    assert {row.device for row in result.functions if row.name.startswith("cuda")} >= {
        "alloc-device",
        "launch",
        "copy",
    }


@pytest.mark.parametrize("taken", ["by code", "in data"])
@pytest.mark.parametrize("relro", ["lazy", "now"])
def test_vulkans_functions_are_recorded_as_they_are_handed_out(
    traced: Trace, place: Path, relro: str, taken: str
) -> None:
    """A library gets all of them from vkGetInstanceProcAddr, whose address it takes, as Vulkan's C++ loader does."""
    runtime = compile_program("cc", place / "libvulkan.so.1", ["device_vulkan.c"], "-shared", "-fPIC")
    link = ("-fPIC", "-pie", str(runtime), f"-Wl,-rpath,{place}", f"-Wl,-z,{relro}", "-Wl,-z,relro")
    program = compile_program("cc", place / f"vulkan_{relro}", ["device_vulkan.c"], "-DPROGRAM", *link)
    result = traced(program, *(["in data"] if taken == "in data" else []))
    assert result.returncode == 0, result.err
    fits, refused = calls_of(result, "vkAllocateMemory")
    assert fits["args"][:3].tolist() == [0xA007, 4096, 7] and fits["ret"] == 0
    assert refused["args"][:2].tolist() == [0, 1 << 40] and refused["ret"] == -2
    (copy,) = calls_of(result, "vkCmdCopyBuffer")
    assert copy["args"][:3].tolist() == [2, 1, 123], "all regions together"
    assert len(calls_of(result, "vkCmdDispatch")) == 2
    assert calls_of(result, "vkWaitForFences")["ret"].tolist() == [2]
    assert len(calls_of(result, "vkQueueSubmit")) == 1
