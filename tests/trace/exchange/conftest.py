"""Real programs: the model, and a Python with llama-cpp-python."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys

import pytest
from exchange_support import Trace, traced

from llamactl.errors import LlamactlError
from llamactl.trace.agent.library import find_agent


@pytest.fixture(scope="session")
def model_file() -> str:
    """The default model, or the one that LLAMACTL_TEST_MODEL names."""
    named = os.environ.get("LLAMACTL_TEST_MODEL")
    if named:
        return named
    from llamactl.models.default import default_model

    try:
        return str(default_model(quiet=True))
    except LlamactlError as error:
        pytest.skip(f"no model: {error}")


@pytest.fixture(scope="session")
def library() -> str:
    """llama.cpp as llamactl has it."""
    path = find_agent().parent / "libllama.so"
    return str(path) if path.exists() else pytest.skip("the engine isn't built")


@pytest.fixture(scope="session")
def peer_python() -> str:
    """A Python that has llama-cpp-python."""
    if importlib.util.find_spec("llama_cpp"):
        return sys.executable
    named = os.environ.get("LLAMACTL_TEST_LLAMA_CPP_PYTHON")
    return named or pytest.skip(
        "llama-cpp-python isn't installed (LLAMACTL_TEST_LLAMA_CPP_PYTHON names a Python)"
    )


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Return a function that traces a command with ``llamactl trace``."""
    return functools.partial(traced, tmp_path_factory.mktemp("exchange"))
