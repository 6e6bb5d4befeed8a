from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bench_reports import make_report

from llamactl.bench.report import BenchReport

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def model_file() -> str:
    """A real model: LLAMACTL_TEST_MODEL, or the default one if it is at hand."""
    given = os.environ.get("LLAMACTL_TEST_MODEL")
    if given:
        return given
    from llamactl.errors import LlamactlError
    from llamactl.models.resolve import resolve_model

    try:
        return str(resolve_model(None, None, quiet=True))
    except LlamactlError as error:
        pytest.skip(f"no model at hand: {error}")


@pytest.fixture(scope="session")
def bench(model_file: str) -> Run:
    """Run ``llamactl bench`` with one thread; model and thread come first unless it is ``compare``."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        head = [] if arguments[:1] == ("compare",) else ["-m", model_file, "-t", "1"]
        command = [sys.executable, "-m", "llamactl", "bench", *head, *arguments]
        # pytest may run with SIGINT ignored, which children inherit.
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=240,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return run


@pytest.fixture
def report_of() -> Callable[..., BenchReport]:
    return make_report


@pytest.fixture(scope="session")
def engine_lib() -> Path:
    """The directory with the engine's libraries."""
    import llamactl.engine
    from llamactl.engine import native

    lib = Path(native._engine.__file__).resolve().parent.parent / "lib"
    assert (lib / "libllama.so").is_file(), llamactl.engine.__file__
    return lib
