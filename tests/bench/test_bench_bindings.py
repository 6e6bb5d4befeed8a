"""Bindings: the figures from programs whose answers are known, and the real CFFI loop."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from support import clean_environment

from llamactl.bench.bindings.binding_gil import Wrap, gil_ns_per_token
from llamactl.bench.bindings.bindings import BindingRequest, measure_bindings
from llamactl.errors import LlamactlError, UsageError
from llamactl.render.bench.bindings import bindings_document, bindings_missing, bindings_table
from llamactl.render.document import schema

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def program(path: Path, text: str) -> str:
    # As a shell's script: the kernel splits an interpreter's path at spaces.
    source = path.with_suffix(".py")
    source.write_text(text)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(source))} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def fake_llama_bench(tmp_path: Path) -> str:
    return program(tmp_path / "llama-bench", "print('[{\"samples_ns\": [4000]}]')")


@pytest.fixture
def fake_python(tmp_path: Path) -> str:
    answer = json.dumps({"total": 8000, "decode": 4000, "sample": 1600, "detokenize": 1200, "copies": 400,
                         "copied_bytes": 64})  # fmt: skip
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
    assert (native.steps_ns["copies"], native.copied_bytes) == (None, None)
    assert (ctypes.steps_ns["copies"], ctypes.copied_bytes) == (100, 64)
    # Neither generates anything: the GIL isn't known, and why not is said.
    assert (native.gil_ns, native.gil_missing) == (None, "there is no Python in it")
    assert (ctypes.gil_ns, ctypes.gil_missing) == (None, "the agent saw no token being generated")
    assert "not known: GIL of ctypes: the agent saw no token" in bindings_missing(results)
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
    # A view: nothing is copied.
    assert found["steps_ns"]["copies"] > 0 and found["copied_bytes"] == 0
    assert found["gil_missing"] is None and 0 < found["gil_ns"] < found["total_ns"]


def test_llama_cpp_python_copies_the_row(bench: Run) -> None:
    python = os.environ.get("LLAMACTL_TEST_LLAMA_CPP_PYTHON")
    if not python:
        pytest.skip("LLAMACTL_TEST_LLAMA_CPP_PYTHON names no Python with llama-cpp-python")
    done = bench("-n", "4", "-r", "2", "--binding", "ctypes", "--ctypes-python", python, "-o", "json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["bindings"]
    assert found["copied_bytes"] == 49152 * 4
    assert found["steps_ns"]["copies"] > 0
    assert found["gil_missing"] is None and found["gil_ns"] > 0


GIL_PROGRAM = """
import sys, threading, time
print('{"version": "1"}', flush=True)
from llamactl.engine import Context, ContextParameters, Model
def spin():
    while True: pass
with Model(sys.argv[1]) as model, Context(model, ContextParameters(n_ctx=64, n_threads=1)) as context:
    sys.setswitchinterval(0.02)
    if sys.argv[2] == "busy":
        threading.Thread(target=spin, daemon=True).start()
    for _ in sys.stdin:
        for token in range(5):
            context.decode_token(token)
        print('{}', flush=True)
"""


def test_a_thread_that_keeps_the_gil_is_seen(model_file: str) -> None:
    """Another thread runs Python without a break: each token waits for it a switch interval, 20 ms, at least."""

    @contextlib.contextmanager
    def start(kind: str, wrap: Wrap) -> Iterator[tuple[str, Callable[[], None]]]:
        command = [sys.executable, "-c", GIL_PROGRAM, model_file, kind]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=wrap(clean_environment()), text=True
        )
        assert process.stdin and process.stdout
        stdin, stdout = process.stdin, process.stdout

        def repeat() -> None:
            stdin.write("\n")
            stdin.flush()
            assert stdout.readline()

        try:
            assert stdout.readline()
            yield "1", repeat
        finally:
            process.kill()
            process.communicate()

    quiet, _ = gil_ns_per_token(lambda wrap: start("quiet", wrap))
    busy, _ = gil_ns_per_token(lambda wrap: start("busy", wrap))
    assert quiet is not None and busy is not None
    assert busy > 15e6
    assert busy > quiet


@pytest.mark.parametrize(
    "arguments",
    [("--binding", "java"), ("--binding", "cffi", "-n", "1,2"), ("--binding", "cffi", "-o", "csv")],
)
def test_bad_options(bench: Run, arguments: tuple[str, ...]) -> None:
    assert bench(*arguments).returncode == 2
