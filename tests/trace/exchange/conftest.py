"""Real programs: the model, and a Python with llama-cpp-python."""

from __future__ import annotations

import functools

import pytest
from exchange_support import Trace, traced
from support import python_with_llama_cpp

from llamactl.trace.record.agent.library import find_agent


@pytest.fixture(scope="session")
def library() -> str:
    """llama.cpp as llamactl has it."""
    path = find_agent().parent / "libllama.so"
    return str(path) if path.exists() else pytest.skip("the engine isn't built")


@pytest.fixture(scope="session")
def peer_python() -> str:
    """A Python that has llama-cpp-python."""
    return python_with_llama_cpp()


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Return a function that traces a command with ``llamactl trace``."""
    return functools.partial(traced, tmp_path_factory.mktemp("exchange"))
