"""Conditions that fail a build: read strictly, decided by statistics for times and plainly for counters."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from llamactl.bench.compare import COUNTERS, IDENTITY, Comparison, ReportComparison, by_name, undisturbed_ns
from llamactl.bench.measure.statistics import Ratio, chance_above, chance_below, least_chance, speed_ratio
from llamactl.bench.plan import Setup
from llamactl.bench.report import BenchReport
from llamactl.errors import LlamactlError, UsageError

NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
EXPRESSION = re.compile(rf"\s*(?P<what>[^<>=]+?)\s*(?P<op><=|>=|<|>)\s*(?P<limit>{NUMBER})\s*")
WALL_SHARE = 0.1
"""Of the chance to err, where time with and without waits for a CPU decide: the first one's."""
SETTINGS = "settings"
ALLOWABLE = (*IDENTITY, SETTINGS)
"""What a baseline must share with what is measured now; each can be allowed to differ."""
ADVICE = "Write NAME < NUMBER, such as 'tg128 < 0.97' or 'minor_faults > 1.10'."


@dataclass(frozen=True, slots=True)
class Condition:
    """``TEST < limit`` on the ratio of speeds, or ``[TEST.]COUNTER > limit`` on the ratio of a counter.

    Attributes:
        text: As it was written.
        test: Name of a test; ``None`` for all.
        counter: One of :data:`llamactl.bench.compare.COUNTERS`; ``None`` for the speed.
        operator: ``<``, ``<=``, ``>`` or ``>=``.
        limit: A ratio, NEW over BASE.
    """

    text: str
    test: str | None
    counter: str | None
    operator: str
    limit: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one condition on one test.

    Attributes:
        condition: The condition.
        test: The test it was applied to.
        failed: Whether it holds, which fails the build.
        ratio: The measured ratio.
        low: Lower end of its interval, of a speed.
        high: Upper end.
        chance: The p-value that decided, of a speed.
        undisturbed: Whether the ratio is of wall time without waits for a CPU.
        uncertain: Whether the interval lies on both sides of the limit: a pass that is no proof.
    """

    condition: Condition
    test: str
    failed: bool
    ratio: float
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    undisturbed: bool = False
    uncertain: bool = False


def compact(name: str) -> str:
    """Return a test's name without spaces, as it may be written in a condition."""
    return name.replace(" ", "")


def parse(texts: Sequence[str], tests: Collection[str]) -> tuple[Condition, ...]:
    """Read conditions.

    Args:
        texts: Such as ``tg128 < 0.97``, ``minor_faults > 1.10``, ``tg128.minor_faults > 1.10``.
        tests: The tests that are planned.

    Raises:
        UsageError: One can't be read, or names something that isn't measured.
    """
    return tuple(_parse(text, tests) for text in texts)


def _parse(text: str, tests: Collection[str]) -> Condition:
    match = EXPRESSION.fullmatch(text) if len(text) < 300 else None
    if match is None:
        raise UsageError(f"--fail-if {text[:100]!r} can't be read", ADVICE)
    limit = float(match["limit"])
    if not (math.isfinite(limit) and limit > 0):
        raise UsageError(f"--fail-if {text!r}: the ratio must be above 0", ADVICE)
    test, counter = _subject(compact(match["what"]), tests)
    if test is None and counter is None:
        known = ", ".join([*tests, *COUNTERS])
        raise UsageError(
            f"--fail-if {text!r} names no test of this run and no counter", f"There are: {known}."
        )
    return Condition(text, test, counter, match["op"], limit)


def _subject(what: str, tests: Collection[str]) -> tuple[str | None, str | None]:
    named = {compact(test): test for test in tests}
    if what in named:
        return named[what], None
    if what in COUNTERS:
        return None, what
    head, _, tail = what.rpartition(".")
    return (named[head], tail) if head in named and tail in COUNTERS else (None, None)


def check_baseline(base: BenchReport, new: BenchReport, allowed: Collection[str] = ()) -> None:
    """Refuse a baseline that measures something else.

    Args:
        base: The baseline.
        new: What was measured now.
        allowed: Which of :data:`ALLOWABLE` may differ.

    Raises:
        LlamactlError: It is of another model, engine or machine, of other settings, or wasn't finished.
    """
    if not base.complete:
        raise LlamactlError(
            "the baseline was interrupted: it isn't complete", "Measure it again (--update-baseline)."
        )
    for name, value in IDENTITY.items():
        theirs, ours = value(base), value(new)
        if theirs != ours and name not in allowed:
            raise LlamactlError(
                f"the baseline is of another {name}: {theirs} there, {ours} here",
                f"Measure it again (--update-baseline), or pass --allow-different {name}.",
            )
    if SETTINGS not in allowed:
        _check_settings(base, new)


def _check_settings(base: BenchReport, new: BenchReport) -> None:
    ours = dict(by_name(new))
    for name, result in by_name(base).items():
        for field in fields(Setup) if name in ours else ():
            theirs, here = getattr(result.setup, field.name), getattr(ours[name].setup, field.name)
            # The file may have moved: what is in it was compared before.
            if theirs != here and field.name != "model_filename":
                raise LlamactlError(
                    f"{name}: the baseline has {field.name} {theirs}, this run {here}",
                    f"Measure alike, or pass --allow-different {SETTINGS}.",
                )


def judge(conditions: Sequence[Condition], found: ReportComparison) -> tuple[Verdict, ...]:
    """Apply conditions to a comparison.

    Raises:
        LlamactlError: A condition can't be decided: a test or counter is missing, or there are too few samples.
            A check that can't fail is no check.
    """
    return tuple(verdict for condition in conditions for verdict in _judge(condition, found))


def _judge(condition: Condition, found: ReportComparison) -> list[Verdict]:
    chosen = [one for one in found.tests if condition.test in {None, one.name}]
    if not chosen:
        raise LlamactlError(f"--fail-if {condition.text!r}: BASE has no such test", "Measure the same tests.")
    if condition.counter is None:
        return [_judge_speed(condition, one, found) for one in chosen]
    if condition.counter == "cpu_ns":
        return [_judge_cpu(condition, one, found) for one in chosen]
    verdicts = [_judge_counter(condition, one, condition.counter) for one in chosen]
    known = [verdict for verdict in verdicts if verdict is not None]
    if not known or (condition.test and len(known) < len(verdicts)):
        raise LlamactlError(
            f"--fail-if {condition.text!r}: {condition.counter} wasn't counted on both sides",
            "The report's environment.missing says why.",
        )
    return known


def _judge_speed(condition: Condition, test: Comparison, found: ReportComparison) -> Verdict:
    """Decide on wall time and, in turns, also on wall time without waits for a CPU; both are paid for.

    The second hardly changes when others take the CPU, so it gets most of the chance to err. It misses what
    makes the program itself wait for a CPU (more threads than CPUs): that is much, and is left to the first.
    """
    wall = _Times([one.ns for one in test.base.samples], [one.ns for one in test.new.samples], test.speed)
    own = undisturbed_ns(test.base), undisturbed_ns(test.new)
    if not found.paired or own[0] is None or own[1] is None or test.undisturbed is None:
        return _decide(condition, test, found, wall)
    quiet = _decide(condition, test, found, _Times(own[0], own[1], test.undisturbed), 1 - WALL_SHARE)
    verdicts = (replace(quiet, undisturbed=True), _decide(condition, test, found, wall, WALL_SHARE))
    # What failed; else what knows more.
    return min(verdicts, key=lambda one: (not one.failed, (one.high or 0) - (one.low or 0)))


def _judge_cpu(condition: Condition, test: Comparison, found: ReportComparison) -> Verdict:
    """Decide on CPU time, which a busy machine hardly changes; more is worse, so the sides are exchanged."""
    base, new = ([sample.counters.get("cpu_ns") or 0 for sample in r.samples] for r in (test.base, test.new))
    return _decide(condition, test, found, _Times(new, base))


@dataclass(frozen=True, slots=True)
class _Times:
    """What to decide on: the ratio is ``base`` over ``new``."""

    base: list[int]
    new: list[int]
    ratio: Ratio | None = None


def _decide(
    condition: Condition, test: Comparison, found: ReportComparison, times: _Times, share: float = 1.0
) -> Verdict:
    """Decide whether the ratio is beyond the limit, by a test at the confidence asked.

    ``share`` of the chance to err is this decision's, where the same is decided in other ways too (Bonferroni).
    """
    limit, alpha, base, new = condition.limit, (1 - found.confidence) / 2, times.base, times.new
    how: Any = {"paired": found.paired, "per_process": found.per_process}
    if not base or not new or least_chance(len(base), len(new), **how) / share > alpha:
        raise LlamactlError(
            f"{test.name}: {len(base)} and {len(new)} samples can't decide at {found.confidence:.1%}",
            "Repeat more often (-r 12).",
        )
    chance_of = chance_below if condition.operator.startswith("<") else chance_above
    chance = min(1.0, chance_of(base, new, limit, **how) / share)
    ratio = times.ratio or speed_ratio(base, new, confidence=found.confidence, **how)
    failed = chance < alpha
    straddles = ratio.low is not None and ratio.high is not None and ratio.low < limit < ratio.high
    return Verdict(
        condition, test.name, failed, ratio.value, ratio.low, ratio.high, chance,
        uncertain=straddles and not failed,
    )  # fmt: skip


def _judge_counter(condition: Condition, test: Comparison, counter: str) -> Verdict | None:
    ratio = test.counters[counter].ratio
    if ratio is None:
        return None
    limit = condition.limit
    failed = {"<": ratio < limit, "<=": ratio <= limit, ">": ratio > limit, ">=": ratio >= limit}
    return Verdict(condition, test.name, failed[condition.operator], ratio)
