"""The short form of benchmarks/attach_many.py: attaching harms no program and makes no impossible figure."""

from __future__ import annotations

import importlib.util
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from recording import may_use_perf

ROOT = Path(__file__).parents[3]
DURATION_S = 0.5


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The benchmark, which changes the current directory when it is imported."""
    folder = ROOT / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.chdir(folder)
        spec = importlib.util.spec_from_file_location("attach_many", folder / "attach_many.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["attach_many"] = module
        spec.loader.exec_module(module)
    return module


def test_attaching_changes_nothing_and_tells_no_impossible_figure(bench: ModuleType, tmp_path: Path) -> None:
    arguments = Namespace(llamactl=bench.LLAMACTL, model=None, python=sys.executable)
    program = bench.program_of("faults", tmp_path, arguments)
    program.learn()
    tallies = {engine: bench.Tally() for engine in bench.ENGINES if engine != "perf" or may_use_perf()}
    for engine, tally in tallies.items():
        bench.attach(bench.LLAMACTL, program, engine, DURATION_S, tally)
    program.end()
    assert not program.changed
    for tally in tallies.values():
        assert (tally.attaches, tally.errors, tally.large) == (1, [], [])


def test_a_figure_that_can_t_be_is_found(bench: ModuleType) -> None:
    document: dict[str, Any] = {
        "length_s": 1.0, "threads": [{"calls_ns": 5}], "counters": [], "metadata": {"begin_ns": 1 << 62},
        "functions": [{"max_ns": 1_100_000_000, "total_ns": 1_100_000_000}], "per_token": {"decode_us": 9.22e12},
    }  # fmt: skip
    found = bench.too_large(document)
    assert [one.split(" is ")[0] for one in found] == [".functions.max_ns", ".per_token.decode_us"]
