"""Both sides of a comparison run on the same CPUs, and each round on the next ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llamactl.bench.execute import Listener
from llamactl.bench.measure.same_cpus import shared_cpus
from llamactl.bench.options import Options
from llamactl.bench.paired import execute_paired
from llamactl.bench.plan import BenchTest, Case, Setup
from llamactl.bench.remote import Remote, Side


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[list[tuple[int, int]]], Path]:
    """Make a tree of ``/sys`` from the package and the core of each CPU."""

    def make(places: list[tuple[int, int]]) -> Path:
        for cpu, (package, core) in enumerate(places):
            topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
            topology.mkdir(parents=True)
            (topology / "core_id").write_text(f"{core}\n", encoding="ascii")
            (topology / "physical_package_id").write_text(f"{package}\n", encoding="ascii")
        return tmp_path

    return make


def test_each_core_once_and_none_twice(machine: Callable[..., Path]) -> None:
    root = machine([(0, 0), (0, 1), (0, 2), (0, 3), (0, 0), (0, 1), (0, 2), (0, 3)])
    assert shared_cpus(range(8), 1, root) == [[0], [1], [2], [3]]
    assert shared_cpus(range(8), 2, root) == [[0, 1], [2, 3]]
    assert shared_cpus(range(8), 3, root) == [[0, 1, 2]]


def test_one_package_before_the_next(machine: Callable[..., Path]) -> None:
    root = machine([(0, 0), (1, 0), (0, 1), (1, 1)])
    assert shared_cpus(range(4), 2, root) == [[0, 2], [1, 3]]


def test_nothing_to_choose_where_all_cores_are_needed(machine: Callable[..., Path]) -> None:
    root = machine([(0, 0), (0, 0), (0, 1), (0, 1)])
    assert shared_cpus(range(4), 2, root) == []
    assert shared_cpus(range(4), 5, root) == []


def test_only_what_is_allowed(machine: Callable[..., Path]) -> None:
    root = machine([(0, number) for number in range(4)])
    assert shared_cpus({1, 3}, 1, root) == [[1], [3]]


def test_both_sides_of_a_round_share_their_cpu(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.sched_getaffinity(0)
    if not shared_cpus(allowed, 1):
        pytest.skip("one core is all there is: there's nothing to choose")
    seen: list[set[int]] = []
    plain = Remote.take_prepared

    def looking(remote: Remote) -> Any:
        prepared = plain(remote)
        seen.append(os.sched_getaffinity(remote.pid))
        return prepared

    monkeypatch.setattr(Remote, "take_prepared", looking)
    listener = Listener(*[lambda *_: None] * 3)
    for mask, rounds in (
        ("0x0", [{cpu} for (cpu,) in shared_cpus(allowed, 1)]),
        (hex(1 << min(allowed)), [{min(allowed)}]),
    ):
        seen.clear()
        case = Case(Setup(str(model_path), n_threads=1, cpu_mask=mask), BenchTest("tg", n_gen=1))
        execute_paired([case], Options(repetitions=2, warm_up=False), Side(), Side(), listener)
        expected = [rounds[number % len(rounds)] for number in range(2)]
        assert seen == [cpus for cpus in expected for _side in "AB"]
