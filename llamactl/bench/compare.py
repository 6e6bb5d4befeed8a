"""Two reports side by side: per test the ratio with its interval, the counters, and what else differs."""

from __future__ import annotations

import dataclasses
import statistics as plain_statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from llamactl.bench.measure.counters import NAMES
from llamactl.bench.measure.statistics import Ratio, speed_ratio
from llamactl.bench.plan import Setup
from llamactl.bench.report import BenchReport, Result
from llamactl.errors import LlamactlError

CONFIDENCE = 0.99
MEMORY = ("private_bytes", "peak_resident_bytes", "kv_bytes", "compute_bytes", "gpu_bytes")
COUNTERS = (*NAMES, "crossings", "python_ns", *MEMORY)


@dataclass(frozen=True, slots=True)
class CounterChange:
    """A counter per repetition, in the median, on both sides; ``None`` where it wasn't counted."""

    base: float | None
    new: float | None

    @property
    def ratio(self) -> float | None:
        """NEW over BASE; infinite where something came up that wasn't there."""
        if self.base is None or self.new is None:
            return None
        if self.base == 0:
            return 1.0 if self.new == 0 else float("inf")
        return self.new / self.base


@dataclass(frozen=True, slots=True)
class Comparison:
    """One test on both sides.

    Attributes:
        speed: By wall time.
        undisturbed: By wall time without the waits for a CPU that other programs used (:func:`undisturbed_ns`);
            ``None`` where that isn't known.
    """

    name: str
    base: Result
    new: Result
    speed: Ratio
    undisturbed: Ratio | None
    counters: dict[str, CounterChange]


@dataclass(frozen=True, slots=True)
class ReportComparison:
    """Two reports.

    Attributes:
        tests: What both measured.
        differences: What isn't the same, as name, BASE's and NEW's.
        only_base: Tests that NEW lacks.
        only_new: Tests that BASE lacks.
        paired: Whether the samples were taken in turns.
        confidence: Of the intervals.
        per_process: Pairs in a row that the same two processes made.
    """

    tests: tuple[Comparison, ...]
    differences: tuple[tuple[str, str, str], ...]
    only_base: tuple[str, ...]
    only_new: tuple[str, ...]
    paired: bool
    confidence: float
    per_process: int = 1


def compare(
    base: BenchReport,
    new: BenchReport,
    *,
    paired: bool = False,
    confidence: float = CONFIDENCE,
    per_process: int = 1,
) -> ReportComparison:
    """Compare two reports test by test.

    Raises:
        LlamactlError: They have no test in common, or one without samples.
    """
    theirs, ours = by_name(base), by_name(new)
    common = [name for name in ours if name in theirs]
    if not common:
        raise LlamactlError(
            f"BASE has {_some(theirs)}, NEW has {_some(ours)}: no test in common", "Measure the same tests."
        )
    ratio = partial(speed_ratio, paired=paired, confidence=confidence, per_process=per_process)
    return ReportComparison(
        tests=tuple(_compare(name, theirs[name], ours[name], ratio) for name in common),
        differences=tuple(differences(base, new)),
        only_base=tuple(name for name in theirs if name not in ours),
        only_new=tuple(name for name in ours if name not in theirs),
        paired=paired,
        confidence=confidence,
        per_process=per_process,
    )


def _some(names: dict[str, Result]) -> str:
    return ", ".join(names) or "none"


def result_names(settings: list[tuple[Setup, str]]) -> list[str]:
    """Return a name for each test: its own, with what tells it apart in brackets where settings vary."""
    varying = [
        field.name
        for field in dataclasses.fields(Setup)
        if len({getattr(setup, field.name) for setup, _ in settings}) > 1
    ]
    return [
        f"{name} [{' '.join(f'{one}={getattr(setup, one)}' for one in varying)}]" if varying else name
        for setup, name in settings
    ]


def by_name(report: BenchReport) -> dict[str, Result]:
    """Return the results by names that tell them apart; see :func:`result_names`."""
    names = result_names([(result.setup, result.test.name) for result in report.results])
    return dict(zip(names, report.results, strict=True))


def _compare(name: str, base: Result, new: Result, ratio: Callable[..., Ratio]) -> Comparison:
    times = [[sample.ns for sample in result.samples] for result in (base, new)]
    own = undisturbed_ns(base), undisturbed_ns(new)
    try:
        speed = ratio(times[0], times[1])
        undisturbed = ratio(*own) if all(own) else None
    except LlamactlError as error:
        raise LlamactlError(f"{name}: {error.message}", error.hint) from None
    counters = {
        counter: CounterChange(counter_value(base, counter), counter_value(new, counter))
        for counter in COUNTERS
    }
    return Comparison(name, base, new, speed, undisturbed, counters)


def undisturbed_ns(result: Result) -> list[int] | None:
    """Return the wall time of each repetition without the time its thread was ready but waited for a CPU.

    Sleeping and waiting for a lock, a disk or another thread stay in. ``None`` where the kernel doesn't tell.
    """
    waits = [sample.counters.get("run_delay_ns") for sample in result.samples]
    times = [
        max(sample.ns - wait, 1)
        for sample, wait in zip(result.samples, waits, strict=True)
        if wait is not None
    ]
    return times if len(times) == len(waits) else None


def counter_value(result: Result, counter: str) -> float | None:
    """Return a counter of one repetition, the median of all, crossings per token; ``None`` where it is unknown."""
    if counter == "crossings":
        # The warm-up of tg makes one token: only per token is it the same in a repetition.
        known = result.crossings is not None and result.crossings_tokens > 0
        return sum((result.crossings or {}).values()) / result.crossings_tokens if known else None
    if counter in MEMORY:
        return getattr(result.memory, counter) if result.memory else None
    if counter == "python_ns":
        values = [sample.python_ns for sample in result.samples]
    else:
        values = [sample.counters.get(counter) for sample in result.samples]
    counted = [value for value in values if value is not None]
    return float(plain_statistics.median(counted)) if counted and len(counted) == len(values) else None


def per_token(result: Result) -> dict[str, float | None]:
    """Return the counters of one token: the median repetition's, through its tokens; ``None`` for a load."""
    tokens = result.test.n_tokens
    values = {name: counter_value(result, name) for name in (*NAMES, "python_ns")}
    return {
        name: None if value is None or not tokens else value / tokens for name, value in values.items()
    } | {"crossings": counter_value(result, "crossings")}


def workers_per_token(result: Result) -> dict[str, dict[str, float]]:
    """Return bytes, round trips and waiting of one token, by worker: the median repetition's, through its tokens.

    For a load, which has no tokens, of the whole load.
    """
    tokens = result.test.n_tokens or 1
    found = [sample.workers for sample in result.samples]
    return {
        worker: {
            name: plain_statistics.median(one[worker][name] for one in found) / tokens
            for name in found[0][worker]
        }
        for worker in found[0]
        if all(worker in one for one in found)
    }


IDENTITY: dict[str, Callable[[BenchReport], object]] = {
    "model": lambda report: sorted(model.fingerprint[:12] for model in report.models),
    "engine": lambda report: report.environment.build_commit,
    "machine": lambda report: (report.environment.cpu_info, report.environment.machine.get("cpus")),
}
"""What a baseline must share as a whole."""


def differences(base: BenchReport, new: BenchReport) -> Iterator[tuple[str, str, str]]:
    """Yield what isn't the same on both sides: identity, settings, versions, machine."""
    for name, value in IDENTITY.items():
        if value(base) != value(new):
            yield name, _text(value(base)), _text(value(new))
    sides = base.environment, new.environment
    for group in ("versions", "machine", "options"):
        ours, theirs = (getattr(side, group) for side in sides)
        for key in dict.fromkeys((*ours, *theirs)):
            if not key.startswith("load_average") and ours.get(key) != theirs.get(key):
                yield f"{group}.{key}", _text(ours.get(key)), _text(theirs.get(key))
    for field in dataclasses.fields(Setup):
        values = [
            sorted({str(getattr(r.setup, field.name)) for r in report.results}) for report in (base, new)
        ]
        if values[0] != values[1] and field.name != "model_filename":
            yield f"setting.{field.name}", ", ".join(values[0]), ", ".join(values[1])


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in value)
    return "unknown" if value is None else str(value)
