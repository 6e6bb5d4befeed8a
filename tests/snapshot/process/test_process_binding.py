"""Which binding, which libraries, and why from there: on real processes where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llamactl.process.elf import read_elf
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import ProcessSnapshot, inspect_process

Start = Callable[..., "subprocess.Popen[str]"]
SECTIONS = ("binding", "python", "threads", "memory", "abi")


def look(target: subprocess.Popen[str]) -> ProcessSnapshot:
    return inspect_process(target.pid, SECTIONS)


@pytest.fixture
def lib() -> Path:
    import llamactl

    place = Path(llamactl.__file__).resolve().parent / "lib"
    if not (place / "libllama.so").exists():
        pytest.skip("the engine isn't built")
    return place


def peer(variable: str, what: str) -> str:
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no interpreter with {what}")
    return python


def test_a_plain_python_has_no_binding(start: Start) -> None:
    found = look(start("wait_with.py", "json"))
    assert found.binding is not None and found.binding.name == "none"
    assert found.engine == () and found.abi is None
    assert found.python is not None
    assert found.python.version == ".".join(map(str, sys.version_info[:3]))
    assert found.python.free_threaded is False and found.python.gil == "on"
    assert found.python.prefix == sys.prefix if sys.prefix != sys.base_prefix else True


def test_llamactl_itself(start: Start, lib: Path) -> None:
    root = str(lib.parents[1])
    found = look(start("wait_with.py", "llamactl.engine._engine", PYTHONPATH=root))
    assert found.binding is not None
    assert (found.binding.name, found.binding.interface) == ("llamactl", "CFFI API")
    files = {file.kind: file for file in found.engine or ()}
    assert files["libllama"].path == str(lib / "libllama.so")
    assert files["libllama"].found_by == "RUNPATH of _engine.abi3.so"
    assert files["libllama"].version and files["libggml-base"].version
    assert files["libggml-cpu"].cpu_features is not None
    assert found.abi is None  # API mode is checked by the compiler


def test_a_build_id_is_that_of_readelf(lib: Path) -> None:
    if not shutil.which("readelf"):
        pytest.skip("readelf isn't installed")
    for path in lib.glob("*.so"):
        notes = subprocess.run(
            ["readelf", "-n", str(path)], capture_output=True, text=True, check=True
        ).stdout
        elf = read_elf(path)
        assert elf is not None
        assert f"Build ID: {elf.build_id}" in notes


def test_symbols_are_those_of_nm(lib: Path) -> None:
    if not shutil.which("nm"):
        pytest.skip("nm isn't installed")
    output = subprocess.run(
        ["nm", "-D", "--defined-only", str(lib / "libllama.so")], capture_output=True, text=True, check=True
    ).stdout
    elf = read_elf(lib / "libllama.so")
    assert elf is not None
    symbols = [line.split() for line in output.splitlines() if " T llama_" in line]
    assert len(symbols) > 100
    for address, _, name in symbols:
        found = elf.symbol(name.partition("@")[0])
        assert found is not None and found[0] == int(address, 16)
    assert elf.symbol("llama_no_such_function") is None


def test_two_copies_are_found(start: Start, lib: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lib, copy)
    target = start("wait_with.py", "ctypes", str(lib / "libggml-base.so"), str(copy / "libggml-base.so"))
    findings = find_findings(look(target))
    assert "engine-twice" in {finding.code for finding in findings}


def test_a_library_opened_by_its_path(start: Start, lib: Path) -> None:
    found = look(start("wait_with.py", "ctypes", str(lib / "libllama.so"), SOME_PLACE=str(lib)))
    assert found.binding is not None and found.binding.interface == "ctypes"
    files = {file.kind: file for file in found.engine or ()}
    assert files["libllama"].found_by == "opened by its path, as SOME_PLACE says"
    assert files["libggml"].found_by == "RUNPATH of libllama.so"
    if found.binding.name == "unknown":
        assert found.abi is not None and found.abi.status == "unknown"


def test_llama_cpp_python_generating(start: Start, lib: Path, model_path: Path) -> None:
    python = peer("LLAMACTL_TEST_LLAMA_CPP_PYTHON", "llama-cpp-python")
    model = str(model_path)
    target = start("generate_with_llama_cpp.py", model, python=python, LLAMA_CPP_LIB_PATH=str(lib))
    found = look(target)
    assert found.binding is not None
    assert (found.binding.name, found.binding.interface) == ("llama-cpp-python", "ctypes")
    assert found.memory is not None
    (memory,) = found.memory.models
    assert memory.path == str(Path(model).resolve()) and memory.resident_bytes == memory.mapped_bytes > 0
    assert memory.parts[0].tensors is not None and memory.parts[0].tensors.first == "token_embd.weight"
    assert [buffer.evidence for buffer in found.memory.buffers if buffer.role == "kv"] == [
        "as large as a KV cache of 4096 tokens in f16"
    ]
    assert found.threads is not None
    roles = [thread.role for thread in found.threads.threads]
    assert roles.count("main") == 1 and "libgomp" in roles


def test_xllamacpp(start: Start) -> None:
    python = peer("LLAMACTL_TEST_XLLAMACPP", "xllamacpp")
    found = look(start("wait_with.py", "xllamacpp", python=python))
    assert found.binding is not None
    assert (found.binding.name, found.binding.interface) == ("xllamacpp", "Cython")
    assert [file.kind for file in found.engine or ()] == ["static"]


def test_a_file_that_is_no_elf(tmp_path: Path) -> None:
    for content in (b"", b"text", b"\x7fELF\x02\x01" + bytes(10), b"\x7fELF\x02\x01" + b"\xff" * 200):
        (tmp_path / "x").write_bytes(content)
        elf = read_elf(tmp_path / "x")
        if elf is not None:
            assert elf.symbol("x") is None and elf.needed == [] and elf.returned_int("x") is None
