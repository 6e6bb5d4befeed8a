"""What every test can use: the default model, and the command line as a clean process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY, SOURCES, Run, clean_environment

TIMEOUT_S = 120
PEERS = REPOSITORY / "build" / "peers-venv" / "bin" / "python"

# `make peers` makes an interpreter with other bindings; the variables name another one.
if PEERS.exists():
    os.environ.setdefault("LLAMACTL_TEST_LLAMA_CPP_PYTHON", str(PEERS))
    os.environ.setdefault("LLAMACTL_TEST_XLLAMACPP", str(PEERS))


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let children hear SIGINT: a shell's background job ignores it, and so does all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def neutral_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Work where no source tree lies: a child Python looks into its current directory first."""
    os.chdir(tmp_path_factory.mktemp("cwd"))
    if SOURCES == REPOSITORY:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCES), *([before] if before else [])])


@pytest.fixture(scope="session")
def model_path() -> Path:
    """Return the default model, fetched once into the user's own cache."""
    from llamactl.models.default import default_model

    return default_model(quiet=True)


@pytest.fixture(scope="session")
def model_file() -> str:
    """The default model, or the one that LLAMACTL_TEST_MODEL names."""
    named = os.environ.get("LLAMACTL_TEST_MODEL")
    if named:
        return named
    from llamactl.errors import LlamactlError
    from llamactl.models.default import default_model

    try:
        return str(default_model(quiet=True))
    except LlamactlError as error:
        pytest.skip(f"no model: {error}")


@pytest.fixture(scope="session")
def loaded_model(model_path: Path) -> Iterator[Any]:
    """Return the default model, loaded once for all tests."""
    from llamactl.engine import Model

    with Model(model_path) as model:
        yield model


@pytest.fixture
def llamactl(tmp_path: Path) -> Run:
    """Return a function that runs the command line in a process of its own and waits for its end.

    ``env`` changes single variables, ``before`` is a command to run it under; the rest goes to
    :func:`subprocess.run`. Output is text unless ``text=False``.
    """

    def run(*arguments: str, env: dict[str, str | None] | None = None, **options: Any) -> Any:
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        if "stdout" not in options and "stderr" not in options:
            options["capture_output"] = True
        options.setdefault("timeout", TIMEOUT_S)
        options.setdefault("cwd", tmp_path)
        if options.pop("text", True):
            options.update(encoding="utf-8", errors="replace")
        return subprocess.run(
            [*options.pop("before", ()), sys.executable, "-m", "llamactl", *arguments],
            env=clean_environment(**(env or {})),
            check=False,
            **options,
        )

    return run


_tracing = {"passed": 0, "skipped": 0}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what became of the tests that trace."""
    if "tests/trace/" in report.nodeid and (report.when == "call" or report.skipped):
        _tracing[report.outcome] = _tracing.get(report.outcome, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which everything that traces was skipped: it would say nothing about tracing."""
    if _tracing["skipped"] and not _tracing["passed"] and not _tracing.get("failed"):
        print(f"\nAll {_tracing['skipped']} tests that trace were skipped: that is a failure.")
        session.exitstatus = 1
