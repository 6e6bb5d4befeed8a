"""A backend in a library of its own is loaded when layers are asked for on a device, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
#include <fcntl.h>
#include <stdlib.h>
__attribute__((constructor)) static void loaded(void) {
    int fd = open(getenv("MARK"), O_CREAT | O_WRONLY, 0600);
    (void) fd;
}
"""


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """An environment with a backend that says when it is loaded, and is none."""
    source, library = tmp_path / "backend.c", tmp_path / "libggml-made-up.so"
    source.write_text(SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return {**os.environ, "GGML_BACKEND_PATH": str(library), "MARK": str(tmp_path / "loaded")}


def run(environment: dict[str, str], layers: str) -> dict[str, object]:
    command = [
        sys.executable,
        "-m",
        "llamactl",
        "run",
        "--json",
        "-q",
        "-n",
        "1",
        "-c",
        "256",
        "-ngl",
        layers,
        "Hi",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found: dict[str, object] = json.loads(done.stdout)["settings"]["gpu-layers"]
    return found


def test_no_driver_is_loaded_while_no_layer_is_asked_for(broken: dict[str, str], model_path: Path) -> None:
    assert run(broken, "0") == {"asked": 0, "in_force": 0, "reason": None}
    assert not Path(broken["MARK"]).exists()


def test_one_that_cannot_be_loaded_is_the_reason_and_no_more(
    broken: dict[str, str], model_path: Path
) -> None:
    found = run(broken, "all")
    assert Path(broken["MARK"]).exists()
    assert (found["asked"], found["in_force"]) == ("all", 0)
    assert "libggml-made-up.so can't be loaded" in str(found["reason"])
