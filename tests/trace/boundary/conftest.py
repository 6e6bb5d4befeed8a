"""The libraries and programs whose calls are known."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from boundary_support import compile_program


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with libllama.so (tests/programs/llama_target.c) and the programs linked to it."""
    place = tmp_path_factory.mktemp("boundary")
    link = (f"-L{place}", f"-Wl,-rpath,{place}", "-pthread")
    compile_program("cc", place / "libllama.so", ["llama_target.c"], "-shared", "-fPIC")
    compile_program("cc", place / "wait.so", ["boundary_wait.c"], "-shared", "-fPIC")
    for name in ("agent_calls", "agent_processes", "boundary_loop"):
        compile_program("cc", place / name, [f"{name}.c"], *link, "-lllama")
    compile_program("c++", place / "libllama-throws.so", ["llama_throws.cpp"], "-shared", "-fPIC")
    compile_program("c++", place / "agent_throws", ["agent_throws.cpp"], *link, "-lllama-throws")
    reads = place / "reads"
    reads.mkdir()
    compile_program("cc", reads / "libllama.so", ["boundary_llama.c"], "-shared", "-fPIC")
    return place


@pytest.fixture(params=("breakpoints", "uprobes"))
def way(request: pytest.FixtureRequest) -> str:
    if request.param == "breakpoints" and platform.machine() != "x86_64":
        pytest.skip("breakpoints are made for x86-64")
    return str(request.param)
