"""The load mode asked against the one in force, as the kernel shows it."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Run


def limit(locked: int) -> Callable[[], None]:
    """Return what sets RLIMIT_MEMLOCK in a child, which then may not override it either."""

    def apply() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (locked, locked))

    return apply


def run(llamactl: Run, mode: str, **options: Any) -> Any:
    result = llamactl(
        "run",
        "-q",
        "--json",
        "-lm",
        mode,
        "-n",
        "1",
        "-c",
        "256",
        "-t",
        "1",
        "--raw",
        "--temp",
        "0",
        "Hi",
        **options,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("mode", "in_force", "mapped", "locked"),
    [
        ("auto", "mmap", True, False),
        ("none", "none", False, False),
        ("mmap", "mmap", True, False),
        ("mlock", "mlock", False, True),
        ("mmap+mlock", "mmap+mlock", True, True),
    ],
)
def test_modes(llamactl: Run, model_path: Path, mode: str, in_force: str, mapped: bool, locked: bool) -> None:
    found = run(llamactl, mode)
    setting, memory = found["settings"]["load-mode"], found["memory"]["model"]
    if locked and setting["in_force"] != in_force:
        assert "ulimit -l" in setting["reason"]
        pytest.skip("this user may not lock so much memory")
    assert setting == {"asked": mode, "in_force": in_force, "reason": None}
    assert (memory["mapped_bytes"] > 0.9 * memory["file_bytes"]) is mapped
    if mapped:
        assert memory["resident_bytes"] <= memory["mapped_bytes"] <= memory["file_bytes"] + 4096
        assert (memory["locked_bytes"] > 0.9 * memory["mapped_bytes"]) is locked


@pytest.mark.parametrize(("mode", "in_force"), [("mlock", "none"), ("mmap+mlock", "mmap")])
def test_memory_that_may_not_be_locked(llamactl: Run, model_path: Path, mode: str, in_force: str) -> None:
    # Root is asked for less than a limit can say no to: take its privilege away with it.
    before = ["setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"] if is_root() else []
    found = run(llamactl, mode, preexec_fn=limit(0), before=before)
    setting = found["settings"]["load-mode"]
    assert (setting["asked"], setting["in_force"]) == (mode, in_force)
    assert "ulimit -l" in setting["reason"]
    assert found["memory"]["model"]["locked_bytes"] == 0


def test_direct_io(llamactl: Run, model_path: Path) -> None:
    found = run(llamactl, "dio")
    setting = found["settings"]["load-mode"]
    assert setting["in_force"] == "dio" or setting["reason"]
    assert found["memory"]["model"]["mapped_bytes"] == 0


def test_expecting_a_load_mode_that_the_kernel_refused(llamactl: Run, model_path: Path) -> None:
    before = ["setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"] if is_root() else []
    result = llamactl(
        "run", "-q", "-lm", "mlock", "--expect", "load-mode=mlock", "-c", "256", "--raw", "Hi",
        preexec_fn=limit(0), before=before,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (4, "")
    assert "ulimit -l" in result.stderr


def is_root() -> bool:
    import os

    return os.geteuid() == 0
