"""Statistics without a clock: the times are in the input."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from llamactl.bench.compare import compare
from llamactl.bench.gate import judge, parse
from llamactl.bench.measure.statistics import chance_above, chance_below, least_chance, speed_ratio
from llamactl.bench.report import BenchReport
from llamactl.errors import LlamactlError

pytest.importorskip("scipy", reason="comparing needs SciPy")
CONFIDENCE = 0.99
Make = Callable[..., BenchReport]


def noisy(source: random.Random, factor: float, count: int) -> list[int]:
    """Times of a busy machine: a log-normal spread, and now and then twice as long."""
    times = []
    for _ in range(count):
        late = 2.0 if source.random() < 0.05 else 1.0
        times.append(round(1e8 * factor * late * source.lognormvariate(0, 0.03)))
    return times


def test_the_ratio_of_known_times() -> None:
    found = speed_ratio([100, 100, 100], [200, 200, 200], paired=True, confidence=CONFIDENCE)
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5)
    assert found.high == pytest.approx(0.5)


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_holds_the_truth(paired: bool) -> None:
    source, held = random.Random(7), 0
    for _ in range(60):
        found = speed_ratio(
            noisy(source, 1, 30), noisy(source, 1.1, 30), paired=paired, confidence=CONFIDENCE
        )
        assert found.low is not None and found.high is not None
        held += found.low <= 1 / 1.1 <= found.high
    assert held >= 57


def test_one_sample_has_no_interval() -> None:
    found = speed_ratio([100], [110], paired=False, confidence=CONFIDENCE)
    assert found.low is None and found.high is None


@pytest.mark.parametrize(("base", "new"), [([], [1]), ([1], []), ([0], [1]), ([1], [-5])])
def test_no_samples_and_impossible_times_are_errors(base: list[int], new: list[int]) -> None:
    with pytest.raises(LlamactlError):
        speed_ratio(base, new, paired=False, confidence=CONFIDENCE)


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(LlamactlError, match="can't be paired"):
        chance_below([1, 2], [1], 1, paired=True)


def test_chances_agree_with_scipy_by_hand() -> None:
    # All eight pairs slower: the smallest p-value that eight pairs can give.
    base, new = [100 + i for i in range(8)], [120 + i for i in range(8)]
    assert chance_below(base, new, 1, paired=True) == pytest.approx(least_chance(8, 8, paired=True))
    assert chance_below(base, new, 1, paired=False) == pytest.approx(least_chance(8, 8, paired=False))
    assert chance_above(new, base, 1, paired=True) == pytest.approx(least_chance(8, 8, paired=True))


def verdict_fails(base: BenchReport, new: BenchReport, text: str, *, paired: bool) -> bool:
    found = compare(base, new, paired=paired, confidence=CONFIDENCE)
    return any(one.failed for one in judge(parse([text], ["tg16"]), found))


@pytest.mark.parametrize("paired", [True, False])
def test_unchanged_code_on_a_noisy_machine_stays_green(paired: bool, report_of: Make) -> None:
    source, alarms = random.Random(1), 0
    for _ in range(200):
        base, new = (report_of({"tg16": noisy(source, 1, 30)}) for _ in range(2))
        alarms += verdict_fails(base, new, "tg16 < 0.99", paired=paired)
    assert alarms <= 2


def test_a_loss_of_three_percent_is_caught_in_pairs_under_shared_noise(report_of: Make) -> None:
    source, caught = random.Random(2), 0
    for _ in range(100):
        # What slows the machine slows both of a pair; 2 % is each one's own.
        shared = noisy(source, 1, 60)
        base = [round(one * source.lognormvariate(0, 0.02)) for one in shared]
        new = [round(one * 1.03 * source.lognormvariate(0, 0.02)) for one in shared]
        caught += verdict_fails(
            report_of({"tg16": base}), report_of({"tg16": new}), "tg16 < 0.99", paired=True
        )
    assert caught >= 95
