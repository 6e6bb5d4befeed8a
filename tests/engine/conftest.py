"""Contexts for tests of the engine: small, one thread, so that sums come out the same each time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from support import Run, clean_environment

from llamactl.engine import Context, ContextParameters, Model


@pytest.fixture
def make_context(loaded_model: Model) -> Iterator[Callable[..., Context]]:
    """Return a function that makes contexts of the default model; all are closed after the test."""
    made: list[Context] = []

    def make(**parameters: object) -> Context:
        chosen = {"n_ctx": 256, "n_threads": 1, "n_threads_batch": 1, **parameters}
        made.append(Context(loaded_model, ContextParameters(**chosen)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Context:
    """Return one context."""
    return make_context()


@pytest.fixture
def python() -> Run:
    """Return a function that runs a piece of Python in a process of its own, faults shown."""

    def run(code: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", code, *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
