"""What tests share besides fixtures: the environment of subprocesses and the type of the runners."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import llamactl as package
from llamactl.process.cgroup import hierarchy

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SOURCES = Path(package.__file__).resolve().parents[1]
REPOSITORY = Path(__file__).resolve().parents[1]


LIMITS = {
    "cpu": ("cpu.max", "cpu.cfs_quota_us"),
    "memory": ("memory.max", "memory.limit_in_bytes"),
}
"""Files of versions 2 and 1 that set them."""


def clean_environment(**changes: str | None) -> dict[str, str]:
    """Return the environment without what steers llamactl or the engine; ``None`` takes a variable away."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LLAMA_ARG_", "LLAMACTL_", "HF_")) and name != "COLUMNS"
    }
    # The interpreter of the subprocess finds the llamactl that this process tests.
    kept["PYTHONPATH"] = os.pathsep.join([str(SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])])
    for name, value in changes.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
    return kept


def on_one_cpu() -> None:
    """Stay on the first of our CPUs: elsewhere llama-completion often ends before its log's thread has written."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def python_with_llama_cpp() -> str:
    """Return a Python that has llama-cpp-python: this one, or the one that a variable names."""
    if importlib.util.find_spec("llama_cpp"):
        return sys.executable
    named = os.environ.get("LLAMACTL_TEST_LLAMA_CPP_PYTHON")
    return named or pytest.skip(
        "llama-cpp-python isn't installed (LLAMACTL_TEST_LLAMA_CPP_PYTHON names a Python)"
    )


@contextlib.contextmanager
def control_group(controller: str = "cpu") -> Iterator[Path]:
    """A control group of our own that can be given a quota, or a limit of memory."""
    found = hierarchy(controller)
    group = (found.mount if found else Path("/none")) / f"llamactl-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not any((group / name).exists() for name in LIMITS[controller]):
            pytest.skip(f"{group} has no limit of {controller}: the controller isn't given to this level")
        yield group
    finally:
        group.rmdir()
