"""Help, version, completion, and what the command line says to what it doesn't know."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys

import pytest
from support import Run, clean_environment


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(llamactl: Run, option: str) -> None:
    result = llamactl(option)
    assert (result.returncode, result.stderr) == (0, "")
    assert "run" in result.stdout


def test_run_help_has_examples_and_names_the_environment(llamactl: Run) -> None:
    result = llamactl("run", "--help", env={"COLUMNS": "100"})
    assert (result.returncode, result.stderr) == (0, "")
    for word in ("Examples:", "llamactl run --raw", "--expect", "LLAMA_ARG_THREADS", "--grammar-file", "-hf"):
        assert word in result.stdout


def test_version_names_every_part(llamactl: Run) -> None:
    result = llamactl("--version")
    assert (result.returncode, result.stderr) == (0, "")
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["llamactl", "llama.cpp", "ggml", "CFFI", "Python", "Linux"]
    assert all(len(line.split()) >= 2 for line in result.stdout.splitlines())


@pytest.mark.parametrize("arguments", [("nonsense",), ("--nonsense",), ("run", "--tempp", "1")])
def test_what_it_does_not_know_is_one_line(llamactl: Run, arguments: tuple[str, ...]) -> None:
    result = llamactl(*arguments)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("llamactl: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """Completion is for the shell that asks, so that one must be the parent."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} isn't installed")
    ask = shlex.join([sys.executable, "-m", "llamactl", "--show-completion"])
    result = subprocess.run(
        [program, "-c", f"{ask}; true"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert "_LLAMACTL_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    "heavy", ["numpy", "cffi", "_cffi_backend", "psutil", "jinja2", "llamactl.engine", "asyncio"]
)
def test_help_imports_nothing_heavy(heavy: str) -> None:
    code = "import sys, llamactl.cli.app; sys.exit(sys.argv[1] in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code, heavy], env=clean_environment(), check=False)
    assert result.returncode == 0
