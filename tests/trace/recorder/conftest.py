"""Compiled test programs, and recordings of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Return a function that compiles tests/programs/NAME.c and returns the executable's path."""
    folder = tmp_path_factory.mktemp("programs")

    def compile_program(name: str) -> str:
        target = folder / name
        if not target.exists():
            source = PROGRAMS / f"{name}.c"
            flags = ["-O2", "-Wall", "-Wextra", "-Wno-unused-result", "-pthread"]
            subprocess.run(["cc", *flags, str(source), "-o", str(target)], check=True)
        return str(target)

    return compile_program
