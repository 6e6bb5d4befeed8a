"""Bindings: the figures from programs whose answers are known, and the real CFFI loop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from llamactl.bench.bindings import BindingRequest, measure_bindings
from llamactl.errors import LlamactlError, UsageError
from llamactl.render.bench_bindings import bindings_document, bindings_table
from llamactl.render.document import schema

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def program(path: Path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def fake_llama_bench(tmp_path: Path) -> str:
    return program(tmp_path / "llama-bench", "print('[{\"samples_ns\": [4000]}]')")


@pytest.fixture
def fake_python(tmp_path: Path) -> str:
    answer = json.dumps({"total": 8000, "decode": 4000, "sample": 2000, "detokenize": 1200})
    text = f"import sys\nprint('{{\"version\": \"9\"}}', flush=True)\nfor _ in sys.stdin: print('{answer}', flush=True)"
    return program(tmp_path / "python", text)


def request(bindings: tuple[str, ...], llama_bench: str | None, python: str | None) -> BindingRequest:
    return BindingRequest(bindings, Path("m.gguf"), 4, 1, 3, llama_bench, python)


def test_nanoseconds_of_a_token(fake_llama_bench: str, fake_python: str) -> None:
    results = measure_bindings(request(("native", "ctypes"), fake_llama_bench, fake_python))
    native, ctypes = results
    assert (native.total_ns, native.steps_ns["decode"], native.rest_ns) == (1000, 1000, None)
    assert native.steps_ns["sample"] is None
    assert (ctypes.total_ns, ctypes.rest_ns, ctypes.version) == (2000, 200, "9")
    assert len(ctypes.samples_ns) == 3
    jsonschema.Draft202012Validator(schema("bench-bindings")).validate(json.loads(bindings_document(results)))
    assert "500000.00" in bindings_table(results)


def test_what_is_missing_is_named(fake_llama_bench: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="llama-bench"):
        measure_bindings(request(("native",), str(tmp_path / "nothing"), None))
    with pytest.raises(UsageError, match="no Python"):
        measure_bindings(request(("ctypes",), None, str(tmp_path / "nothing")))


def test_a_binding_that_fails_says_its_last_line(tmp_path: Path) -> None:
    broken = program(tmp_path / "b", "import sys; sys.exit('it broke')")
    with pytest.raises(LlamactlError, match="it broke"):
        measure_bindings(request(("native",), broken, None))
    with pytest.raises(LlamactlError, match="it broke"):
        measure_bindings(request(("ctypes",), None, broken))


def test_our_own_loop(bench: Run) -> None:
    done = bench("-n", "4", "-r", "2", "--binding", "cffi", "-o", "json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["bindings"]
    assert found["total_ns"] > found["steps_ns"]["decode"] > found["steps_ns"]["sample"] > 0
    assert found["rest_ns"] > 0


@pytest.mark.parametrize(
    "arguments",
    [("--binding", "java"), ("--binding", "cffi", "-n", "1,2"), ("--binding", "cffi", "-o", "csv")],
)
def test_bad_options(bench: Run, arguments: tuple[str, ...]) -> None:
    assert bench(*arguments).returncode == 2
