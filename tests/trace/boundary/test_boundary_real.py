"""The real llama.cpp through llamactl's own CFFI module and llama-cpp-python, attached to."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import pytest
from boundary_support import PROGRAMS, attach, start
from support import python_with_llama_cpp

import llamactl
from llamactl.trace.mechanisms.interface.binding import BindingKind, bindings
from llamactl.trace.record.calls.attached import catch_calls
from llamactl.trace.record.syscalls.base import Options
from llamactl.trace.record.syscalls.ptrace import PtraceEngine

SOURCES = Path(llamactl.__file__).resolve().parents[1]
LIBRARIES = SOURCES / "llamactl" / "lib"
COUNT = 8
KINDS = {"engine": BindingKind.CFFI_API, "llama_cpp": BindingKind.CTYPES}


def python_with(which: str) -> str:
    return sys.executable if which == "engine" else python_with_llama_cpp()


@pytest.mark.parametrize("which", KINDS)
def test_generation(
    monkeypatch: pytest.MonkeyPatch, model_file: str, way: str, which: str, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(LIBRARIES))
    command = (python_with(which), PROGRAMS / "boundary_generate.py", which, model_file, str(COUNT))
    plain, _ = start(*command).communicate("\n")
    traced = attach(way, start(*command), gil=True)
    traced.say()
    out, status = traced.end()
    traced.detach()
    assert (out, status) == (plain, 0)
    counts = traced.writer.counts()
    for name, called in json.loads(out)["counts"].items():
        assert counts[name] == called, name
    assert counts["llama_decode"] == COUNT
    ended = traced.writer.counts(ended=True)
    about = traced.writer.facts["boundary"]
    assert about["refused" if way == "breakpoints" else "lost"] == 0
    if (way, which) == ("uprobes", "engine"):  # Its C++ code catches exceptions.
        assert ended["llama_decode"] == 0
        assert about["no_ends"]
    else:
        assert ended["llama_decode"] == COUNT
    found = bindings(traced.writer.exchange())[0]
    assert found.kind is KINDS[which]
    assert b"Paris" not in bytes(traced.writer.arena)
    assert b"capital" not in bytes(traced.writer.arena)


def test_breakpoints_where_uprobes_see_no_ends(monkeypatch: pytest.MonkeyPatch, model_file: str) -> None:
    """When they are allowed, breakpoints are taken for llamactl's own module: its calls have ends then."""
    if platform.machine() != "x86_64" or os.geteuid() != 0:
        pytest.skip("needs uprobes (root) and breakpoints (x86-64)")
    monkeypatch.setenv("PYTHONPATH", str(SOURCES))
    process = start(sys.executable, PROGRAMS / "boundary_generate.py", "engine", model_file, "1")
    engine = PtraceEngine(Options(selection=frozenset(), faults=False))
    calls = catch_calls(process.pid, engine, breakpoints=True, watch=False)
    try:
        assert calls.notes[0].startswith("breakpoints instead of uprobes: _engine")
        assert "from C++" in calls.notes[0]
    finally:
        engine.close()
        calls.close()
    assert process.communicate("\n")[1] is None
    assert process.returncode == 0
