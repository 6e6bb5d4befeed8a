"""The gate under the noise of a busy machine, simulated: pairs in turns, a new pair of processes now and then."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from llamactl.bench.compare import compare
from llamactl.bench.gate import Verdict, judge, parse
from llamactl.bench.report import BenchReport
from llamactl.errors import LlamactlError

pytest.importorskip("scipy", reason="comparing needs SciPy")
Make = Callable[..., BenchReport]
PROCESSES, PER_PROCESS = 40, 10
TURN_NS, SLICE_NS = 11e6, 3e6


@dataclass
class Machine:
    """A busy machine as it was measured, or worse.

    It drifts, its state is correlated from turn to turn (caches, clock rate), a turn now and then takes half as
    long again, and each turn waits for the CPU several times. A process is quicker or slower for all its life,
    and a few of them by much.
    """

    source: random.Random
    state: float = 0.0

    def turn(self, work_ns: float, when: float) -> tuple[int, int]:
        """Return wall time and the wait in it, of a turn at ``when`` from 0 to 1."""
        one = self.source
        self.state = 0.9 * self.state + one.gauss(0, 0.012)
        late = 1.5 if one.random() < 0.05 else 1.0
        own = work_ns * (1 + 0.1 * when) * (1 + self.state) * late * one.lognormvariate(0, 0.015)
        waits = sum(round(one.expovariate(1 / SLICE_NS)) for _ in range(one.randrange(8)))
        return round(own) + waits, waits

    def process(self) -> float:
        """Return by what a new process is slower."""
        return 1.08 if self.source.random() < 0.03 else self.source.gauss(1, 0.0085)


def in_turns(source: random.Random, slower: float) -> list[list[tuple[int, int]]]:
    """Return the turns of both sides, A B B A."""
    machine, sides = Machine(source), [[], []]  # type: tuple[Machine, list[list[tuple[int, int]]]]
    for _ in range(PROCESSES):
        factors = machine.process(), machine.process() * slower
        for index in range(PER_PROCESS):
            for side in (0, 1) if index % 2 == 0 else (1, 0):
                when = len(sides[side]) / (PROCESSES * PER_PROCESS)
                sides[side].append(machine.turn(TURN_NS * factors[side], when))
    return sides


def verdict(report_of: Make, sides: list[list[tuple[int, int]]], text: str) -> Verdict:
    reports = [
        report_of({"tg1": [ns for ns, _ in turns]}, waits=[wait for _, wait in turns]) for turns in sides
    ]
    found = compare(*reports, paired=True, per_process=PER_PROCESS)
    (one,) = judge(parse([text], ["tg1"]), found)
    return one


@pytest.mark.parametrize(("limit", "allowed"), [("0.995", 0), ("1", 2)])
def test_unchanged_code_raises_no_alarm_in_200_comparisons(limit: str, allowed: int, report_of: Make) -> None:
    source = random.Random(6)
    alarms = sum(verdict(report_of, in_turns(source, 1), f"tg1 < {limit}").failed for _ in range(200))
    assert alarms <= allowed


def test_a_loss_of_three_percent_is_caught_on_a_busy_machine(report_of: Make) -> None:
    source = random.Random(7)
    caught = sum(verdict(report_of, in_turns(source, 1.03), "tg1 < 0.995").failed for _ in range(100))
    assert caught >= 95


def test_waits_that_the_program_causes_itself_are_caught(report_of: Make) -> None:
    # More threads than CPUs: the same work, but twice the time, all of it spent waiting.
    base, new = in_turns(random.Random(8), 1)
    found = verdict(report_of, [base, [(2 * ns, wait + ns) for ns, wait in new]], "tg1 < 0.995")
    assert found.failed and not found.undisturbed


def test_time_asleep_is_no_wait_for_a_cpu(report_of: Make) -> None:
    base, new = in_turns(random.Random(9), 1)
    found = verdict(report_of, [base, [(ns + 500_000, wait) for ns, wait in new]], "tg1 < 0.995")
    assert found.failed and found.undisturbed


def test_many_turns_of_few_processes_decide_nothing(report_of: Make) -> None:
    base, new = in_turns(random.Random(10), 1.5)
    few = [base[: 2 * PER_PROCESS], new[: 2 * PER_PROCESS]]
    with pytest.raises(LlamactlError, match="can't decide"):
        verdict(report_of, few, "tg1 < 0.995")


def test_without_the_kernels_account_wall_time_decides(report_of: Make) -> None:
    times = {"tg1": [100 + i for i in range(12)]}
    slow = {"tg1": [130 + i for i in range(12)]}
    found = compare(report_of(times), report_of(slow), paired=True)
    (one,) = judge(parse(["tg1 < 0.995"], ["tg1"]), found)
    assert one.failed and not one.undisturbed and found.tests[0].undisturbed is None
