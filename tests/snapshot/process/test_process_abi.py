"""The table of layouts against the compiled engine, and the check against bindings that are right and wrong."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import llamactl
from llamactl.process.engine import abi
from llamactl.process.engine.abi import (
    AbiCheck,
    Engine,
    StructCheck,
    check_abi,
    compare_layouts,
    find_layouts,
)
from llamactl.render.inspect.engine import abi_lines
from llamactl.snapshot.process.findings import find_findings
from llamactl.snapshot.process.snapshot import inspect_process

Start = Callable[..., "subprocess.Popen[str]"]
ROOT = Path(__file__).resolve().parents[3]


def table() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path(abi.__file__).with_name("layouts.json").read_text())
    return found


def pinned() -> dict[str, Any]:
    commit = re.search(r"ENGINE_COMMIT (\w+)", (ROOT / "llama.cpp/pin.cmake").read_text())
    assert commit is not None
    entries = [e for e in table() if e["commit"] == commit[1] and e["machine"] == platform.machine()]
    if not entries:
        pytest.skip(f"no layouts for {platform.machine()} in the table")
    return entries[0]


def test_the_table_is_what_the_compiler_made_of_the_pinned_engine() -> None:
    native = pytest.importorskip("llamactl.engine._engine", reason="the engine isn't built")
    ffi = native.ffi
    for name in ("llama_model_params", "llama_context_params", "llama_batch", "llama_logit_bias"):
        kind = ffi.typeof(name if name == "llama_logit_bias" else f"struct {name}")
        entry = pinned()["structs"][name]
        assert entry["size"] == ffi.sizeof(kind)
        assert len(kind.fields) >= 1
        for field, place in kind.fields:
            assert entry["fields"][field] == [place.offset, ffi.sizeof(place.type)], (name, field)


def test_versions_that_are_not_in_the_table_are_unknown() -> None:
    entry = pinned()
    both = entry["version"], entry["ggml_version"]
    assert find_layouts(*both, entry["commit"][:7] + "-dirty") == entry
    assert find_layouts(*both, "unknown") == entry
    assert find_layouts(*both, "fffffff") is None
    assert find_layouts("9.9.9", entry["ggml_version"], "") is None
    assert find_layouts("", "", "") is None


LAYOUT = {"size": 16, "fields": {"a": [0, 4], "b": [8, 8]}}


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        (LAYOUT, ()),
        ({"size": 8, "fields": {"a": [0, 4]}},
         ("size: 8 bytes in the binding, 16 in the engine", "b: missing in the binding")),
        ({"size": 16, "fields": {"a": [0, 4], "b": [4, 4], "c": [8, 8]}},
         ("b: offset 4, 4 bytes in the binding; offset 8, 8 bytes in the engine", "c: not in the engine")),
    ],
)  # fmt: skip
def test_differences_are_named_field_by_field(binding: dict[str, Any], expected: tuple[str, ...]) -> None:
    (check,) = compare_layouts({"s": binding, "only_here": LAYOUT}, {"s": LAYOUT})
    assert check.differences == expected


BINDING = """
import {module} as types
lib = types.CDLL({library!r}) if {library!r} else None
class llama_batch(types.Structure):
    _fields_ = [("n_tokens", types.c_int32), ("token", types.c_void_p), ("embd", types.c_void_p),
                ("pos", types.c_void_p), ("n_seq_id", types.c_void_p), ("seq_id", types.c_void_p){last}]
"""


def binding(tmp_path: Path, library: Path | str, last: str) -> dict[str, str]:
    text = BINDING.format(module="ctypes", library=str(library), last=last)
    (tmp_path / "own_binding.py").write_text(text)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.fixture
def library() -> Path:
    path = Path(llamactl.__file__).resolve().parent / "lib/libllama.so"
    if not path.exists():
        pytest.skip("the engine isn't built")
    return path


def test_a_right_and_a_wrong_ctypes_binding(tmp_path: Path, library: Path) -> None:
    right = check_abi(
        sys.executable, binding(tmp_path, library, ', ("logits", types.c_void_p)'), ["own_binding"]
    )
    assert (right.status, right.kind, right.library) == ("match", "ctypes", str(library.resolve()))
    wrong = check_abi(sys.executable, binding(tmp_path, library, ""), ["own_binding"])
    assert wrong.status == "mismatch"
    assert wrong.structs[0].differences == (
        "size: 48 bytes in the binding, 56 in the engine", "logits: missing in the binding",
    )  # fmt: skip


def test_a_cffi_binding(tmp_path: Path, library: Path) -> None:
    (tmp_path / "own_binding.py").write_text(
        "import cffi\nffi = cffi.FFI()\n"
        "ffi.cdef('struct llama_logit_bias { int token; float bias; };"
        " struct llama_token_data { int id; float logit; };')\n"
        f"lib = ffi.dlopen({str(library)!r})\n"
    )
    found = check_abi(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)}, ["own_binding"])
    assert (found.status, found.kind) == ("mismatch", "CFFI")
    differences = {check.name: check.differences for check in found.structs}
    assert differences["llama_logit_bias"] == ()
    assert "p: missing in the binding" in differences["llama_token_data"]


def test_a_struct_for_training_is_a_note(tmp_path: Path, library: Path) -> None:
    """What generates no text harms nobody who generates text."""
    environment = binding(tmp_path, library, ', ("logits", types.c_void_p)')
    with (tmp_path / "own_binding.py").open("a") as file:
        file.write(
            "class llama_opt_params(types.Structure):\n    _fields_ = [('n_ctx_train', types.c_uint32)]\n"
        )
    found = check_abi(sys.executable, environment, ["own_binding"])
    assert found.status == "match"
    (check,) = [check for check in found.structs if check.differences]
    assert (check.name, check.only_for) == ("llama_opt_params", "training")
    assert any("llama_opt_params (only training uses it): size" in line for line in abi_lines(found))


def test_the_engine_that_is_mapped_is_the_one_compared_with(tmp_path: Path, library: Path) -> None:
    """Asked in a process of its own the binding may load another library than the process has."""
    environment = binding(tmp_path, library, ', ("logits", types.c_void_p)')
    mapped = Engine("/elsewhere/libllama.so", "9.9.9", "9.9.9", "")
    found = check_abi(sys.executable, environment, ["own_binding"], mapped)
    assert (found.status, found.library) == ("unknown", "/elsewhere/libllama.so")
    assert "engine 9.9.9 isn't in llamactl's table" in found.reason


@pytest.mark.parametrize(("own", "remedy"), [(True, "report it there"), (False, "belongs to this engine")])
def test_the_remedy_for_a_mismatch_can_be_followed(start: Start, own: bool, remedy: str) -> None:
    snapshot = inspect_process(start("wait_with.py", "json").pid, ("abi",))
    wrong = StructCheck("llama_batch", 1, 2, ("size: 1 byte in the binding, 2 in the engine",))
    mismatch = AbiCheck("mismatch", "", "python", "m", "ctypes", None, None, (wrong,), own)
    (finding,) = find_findings(replace(snapshot, abi=mismatch))
    assert finding.code == "abi-mismatch" and remedy in finding.remedy


def test_what_cannot_be_asked_is_unknown(tmp_path: Path) -> None:
    assert check_abi("/nowhere/python").status == "unknown"
    missing = check_abi(sys.executable, None, ["no_such_binding"])
    assert (missing.status, missing.reason) == (
        "unknown", "no_such_binding: No module named 'no_such_binding'",
    )  # fmt: skip
    without = check_abi(
        sys.executable, binding(tmp_path, "", ', ("logits", types.c_void_p)'), ["own_binding"]
    )
    assert without.status == "unknown"
    assert "unknown version isn't in llamactl's table" in without.reason


def test_an_interpreter_that_fails_is_told(tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    script.chmod(0o755)
    found = check_abi(str(script))
    assert found.status == "unknown"
    assert "status 3, broken" in found.reason


def test_the_probe_imports_nothing_of_ours_by_accident(tmp_path: Path) -> None:
    """Our files ``threads.py`` and ``python.py`` lie next to the probe; the child must not find them."""
    (tmp_path / "own_binding.py").write_text("import sys\nraise ImportError(sys.path[0])\n")
    found = check_abi(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)}, ["own_binding"])
    assert found.reason == f"own_binding: {tmp_path}"


def test_llama_cpp_python_of_another_environment(library: Path) -> None:
    python = os.environ.get("LLAMACTL_TEST_LLAMA_CPP_PYTHON")
    if not python:
        pytest.skip("LLAMACTL_TEST_LLAMA_CPP_PYTHON names no interpreter with llama-cpp-python")
    environment = {**os.environ, "LLAMA_CPP_LIB_PATH": str(library.parent)}
    found = check_abi(python, environment)
    assert (found.module, found.kind) == ("llama_cpp.llama_cpp", "ctypes")
    ours = subprocess.run(
        [python, "-c", "import llama_cpp as l; m = l.llama_model_params; print(m.kv_overrides.offset)"],
        capture_output=True, text=True, check=True, env=environment,
    ).stdout  # fmt: skip
    assert int(ours) == pinned()["structs"]["llama_model_params"]["fields"]["kv_overrides"][0]
    by_name = {check.name: check.differences for check in found.structs}
    assert by_name["llama_model_params"] == by_name["llama_context_params"] == ()
