"""Each way to bind llama.cpp is seen, and named with what shows it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from agent_support import PROGRAMS, Trace, exchange_of

from llamactl.trace.capture.record import Flag
from llamactl.trace.mechanisms.gil.gil import GilVerdict, gil_report
from llamactl.trace.mechanisms.interface.binding import BindingKind, bindings, engine_copies

CFFI_ABI = """
import sys, cffi
ffi = cffi.FFI()
ffi.cdef("uint32_t llama_n_ctx(const void *);")
lib = ffi.dlopen(sys.argv[1])
assert [lib.llama_n_ctx(ffi.cast("void *", i)) for i in range(7)] == list(range(1, 8))
"""

COPIES = """
import ctypes, os, sys
for path in sys.argv[1:]:
    ctypes.CDLL(path).llama_n_ctx(0)
"""

WORKERS = """
import ctypes, os, sys
lib = ctypes.CDLL(sys.argv[1])
lib.llama_n_ctx(1)
children = []
for worker in range(3):
    child = os.fork()
    if child == 0:
        for _ in range(5):
            lib.llama_n_ctx(worker)
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
lib.llama_n_ctx(2)
"""

CALLBACK = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
assert lib.llama_call_back(kind(lambda value: lib.llama_n_ctx(value)), 4) == 6
"""


def test_cffi_abi_mode(built: Path, traced: Trace) -> None:
    result = traced(sys.executable, "-c", CFFI_ABI, built / "libllama.so")
    assert result.returncode == 0, result.err
    (binding,) = bindings(exchange_of(result))
    assert (binding.kind, binding.calls) == (BindingKind.CFFI_ABI, 7)
    assert "_cffi_backend" in binding.evidence
    assert (result.calls()["flags"] == Flag.GIL_RELEASED).all()


def test_an_extension_with_llama_cpp_inside(tmp_path: Path, traced: Trace) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    module = tmp_path / f"agent_inner{suffix}"
    include = sysconfig.get_paths()["include"]
    command = [str(shutil.which("cc")), "-O2", "-shared", "-fPIC", "-Wl,-z,lazy", f"-I{include}"]
    subprocess.run([*command, str(PROGRAMS / "agent_inner.c"), "-o", str(module)], check=True)
    result = traced(sys.executable, "-c", "import agent_inner; assert agent_inner.run() == 47", cwd=tmp_path)
    assert result.returncode == 0, result.err
    (binding,) = bindings(exchange_of(result))
    assert (binding.kind, binding.caller, binding.libraries) == (
        BindingKind.EXTENSION,
        str(module),
        (str(module),),
    )
    decodes = result.calls("llama_decode")
    assert len(decodes) == 10
    assert (decodes["flags"] == Flag.INNER | Flag.GIL_RELEASED).all()
    (held,) = result.calls("llama_get_one")
    assert held["flags"] == Flag.INNER | Flag.GIL_HELD
    assert result.text(held["text2"]) == "<string>:1:<module>"


def test_two_copies_of_the_library(built: Path, tmp_path: Path, traced: Trace) -> None:
    copy = tmp_path / "libllama.so"
    shutil.copy(built / "libllama.so", copy)
    result = traced(sys.executable, "-c", COPIES, built / "libllama.so", copy)
    assert engine_copies(exchange_of(result)) == sorted([str(built / "libllama.so"), str(copy)])
    assert result.counts() == {"llama_n_ctx": 2}


def test_forked_workers(built: Path, traced: Trace) -> None:
    result = traced(sys.executable, "-c", WORKERS, built / "libllama.so")
    assert (result.returncode, result.err) == (0, "")
    calls = result.calls("llama_n_ctx")
    assert sorted((calls["pid"] == pid).sum() for pid in set(calls["pid"].tolist())) == [2, 5, 5, 5]
    assert result.losses.records == 0


def test_a_callback_takes_the_gil_inside_the_call(built: Path, traced: Trace) -> None:
    result = traced(sys.executable, "-c", CALLBACK, built / "libllama.so")
    assert result.returncode == 0, result.err
    (outer,) = result.calls("llama_call_back")
    (inner,) = result.calls("llama_n_ctx")
    assert outer["start"] < inner["start"]
    assert inner["start"] + inner["duration"] < outer["start"] + outer["duration"]
    names = [function.name for function in result.functions]
    waits = result.gil()[result.gil()["nr"] == 1]
    taken = [names[int(record["args"][1])] for record in waits if record["args"][0] == 1]
    assert taken == ["PyGILState_Ensure", "PyEval_RestoreThread"]


@pytest.mark.parametrize("name", ["llama_model_load_from_file", "llama_decode", "llama_tokenize"])
def test_paths_and_counts_are_kept(built: Path, traced: Trace, name: str) -> None:
    exchange = exchange_of(traced(built / "agent_calls", capacity=1 << 17))
    calls = exchange.calls[exchange.named(name)]

    def kept(label: str) -> list[int]:
        values = exchange.argument(calls, label)
        assert values is not None
        return [int(value) for value in values]

    if name == "llama_model_load_from_file":
        assert exchange.text(int(calls["text"][0])) == b"/model"
        assert (kept("n_gpu_layers"), kept("load_mode")) == ([-1], [2])
    elif name == "llama_decode":
        assert (kept("n_tokens"), calls["ret"].tolist(), kept("context")) == ([3], [16], [10])
    else:
        assert kept("text_bytes") == [6]
        assert calls["ret"].tolist() == [6]


STAND_IN = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
for _ in range(4):
    assert lib.wrapper_generate() == 1
for _ in range(int(sys.argv[2])):
    lib.llama_decode(1, 1)
"""


def stand_in(path: Path, *options: str) -> Path:
    command = [str(shutil.which("cc")), "-O1", "-fno-inline", "-shared", "-fPIC", "-Wl,-z,lazy", *options]
    subprocess.run([*command, str(PROGRAMS / "stand_in_engine.c"), "-o", str(path)], check=True)
    return path


def test_llama_cpp_inside_a_library_that_is_no_module(tmp_path: Path, traced: Trace) -> None:
    """Python calls the library's own functions, which call the engine inside of it (as gpt4all does)."""
    library = stand_in(tmp_path / "libwrapper-avx.so")
    result = traced(sys.executable, "-c", STAND_IN, library, "0")
    assert result.returncode == 0, result.err
    exchange = exchange_of(result)
    (binding,) = bindings(exchange)
    assert (binding.kind, binding.caller, binding.inside) == (BindingKind.CTYPES, str(library), True)
    calls = result.calls("llama_decode")
    assert len(calls) == 4
    assert (calls["flags"] == Flag.INNER | Flag.GIL_RELEASED).all()
    assert (gil_report(exchange).verdict, binding.calls) == (GilVerdict.RELEASED, 4)


def test_a_library_that_is_called_from_outside_has_no_inner_calls(tmp_path: Path, traced: Trace) -> None:
    library = stand_in(tmp_path / "everything.so")
    exchange = exchange_of(traced(sys.executable, "-c", STAND_IN, library, "3"))
    found = {(one.kind, one.inside): one.calls for one in bindings(exchange)}
    assert found == {(BindingKind.CTYPES, True): 4, (BindingKind.CTYPES, False): 3}


@pytest.mark.parametrize("name", ["libllama.so", "libllama-1ab89ae8.so.0"])
def test_the_engines_own_library_has_no_inner_calls(tmp_path: Path, traced: Trace, name: str) -> None:
    result = traced(sys.executable, "-c", STAND_IN, stand_in(tmp_path / name), "3")
    assert len(result.calls("llama_decode")) == 3


def test_whisper_is_an_engine(tmp_path: Path, traced: Trace) -> None:
    library = tmp_path / "libwhisper.so"
    source = tmp_path / "whisper.c"
    source.write_text("int whisper_full(void * context) { return context == 0; }\n")
    subprocess.run([str(shutil.which("cc")), "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    code = "import ctypes, sys; assert ctypes.CDLL(sys.argv[1]).whisper_full(None) == 1"
    exchange = exchange_of(traced(sys.executable, "-c", code, library))
    (binding,) = bindings(exchange)
    assert (binding.kind, binding.calls) == (BindingKind.CTYPES, 1)
    assert gil_report(exchange).verdict is GilVerdict.RELEASED
