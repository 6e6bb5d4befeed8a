"""The libraries and programs whose calls are known, and every supported Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from agent_support import Trace, compile_program, find_python, run_traced

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture
def traced() -> Trace:
    return run_traced


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with libllama.so (tests/programs/llama_target.c) and the programs linked to it."""
    place = tmp_path_factory.mktemp("target")
    link = (f"-L{place}", f"-Wl,-rpath,{place}", "-Wl,-z,lazy", "-pthread")
    compile_program("cc", place / "libllama.so", ["llama_target.c"], "-shared", "-fPIC")
    for name in ("agent_calls", "agent_loop", "agent_processes", "agent_ring"):
        compile_program("cc", place / name, [f"{name}.c"], *link, "-lllama")
    compile_program("c++", place / "libllama-throws.so", ["llama_throws.cpp"], "-shared", "-fPIC")
    compile_program("c++", place / "agent_throws", ["agent_throws.cpp"], *link, "-lllama-throws")
    return place


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    """Each supported CPython that this machine has."""
    return find_python(request.param)
