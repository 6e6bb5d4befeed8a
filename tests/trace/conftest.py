"""Small captures for the tests of the views."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llamactl.trace.capture.reader import Capture

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "captures" / "load.capture"


def load_builder() -> ModuleType:
    """Import the program that writes test captures."""
    name = "make_capture"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "programs" / "make_capture.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def capture_program() -> ModuleType:
    """The program that wrote the committed capture."""
    return load_builder()


@pytest.fixture
def load_capture() -> Capture:
    """The committed capture of a program that loads a model and generates three tokens."""
    return Capture.open(COMMITTED)


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Capture]:
    """Return a function that takes one which fills a builder, and returns the capture."""
    program = load_builder()

    def make(fill: Callable[[Any], None], **metadata: Any) -> Capture:
        path = tmp_path / "test.capture"
        builder = program.Builder(path, **metadata)
        fill(builder)
        builder.close()
        return Capture.open(path)

    return make
