"""Run a plan in this process, test by test; what is finished is handed out at once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from llamactl.bench.cold import WarmCacheError, check_cold
from llamactl.bench.measure import machine
from llamactl.bench.measure.counters import Counters
from llamactl.bench.measure.environment import environment
from llamactl.bench.options import Options, apply_to_process
from llamactl.bench.plan import Case, Setup
from llamactl.bench.processes import measure_processes
from llamactl.bench.report import BenchReport, Environment, ModelFacts, Result, Sample
from llamactl.bench.session import Session
from llamactl.engine import DecodeAbortedError, guard
from llamactl.errors import LlamactlError
from llamactl.process.cpu_budget import cpu_budget


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to know while it runs.

    Attributes:
        on_progress: Gets what is about to be done: case number, number of cases, name, repetition (0 is warm-up).
        on_report: Gets the report so far, after each test.
        on_warning: Gets a sentence.
    """

    on_progress: Callable[[int, int, str, int], object]
    on_report: Callable[[BenchReport], object]
    on_warning: Callable[[str], object]


class InterruptedTestError(Exception):
    """Ctrl-C came; the test under way has no result."""


class Draft:
    """A report that grows."""

    def __init__(self, environment: Environment, cases: Sequence[Case], listener: Listener) -> None:
        self._environment = environment
        self._cases = cases
        self._listener = listener
        self._models: dict[str, ModelFacts] = {}
        self._results: list[Result] = []
        self._warnings: list[str] = []
        self._skipped = 0

    def warn(self, text: str) -> None:
        """Keep a warning about the whole and show it."""
        self._warnings.append(text)
        self._listener.on_warning(text)

    def add(self, result: Result, facts: Callable[[Setup], ModelFacts]) -> None:
        """Keep a result and hand the report out; ``facts`` tells of a model not seen before."""
        name = result.setup.model_filename
        if name not in self._models:
            self._models[name] = facts(result.setup)
        self._results.append(result)
        for text in result.warnings:
            self._listener.on_warning(f"{result.test.name}: {text}")
        self._listener.on_report(self.report())

    def skip(self, why: WarmCacheError) -> None:
        """Have one case count as done, without a result."""
        self._skipped += 1
        self.warn(str(why))
        self._listener.on_report(self.report())

    def report(self) -> BenchReport:
        """Return the report so far."""
        return BenchReport(
            environment=self._environment,
            models=tuple(self._models.values()),
            results=tuple(self._results),
            complete=len(self._results) + self._skipped == len(self._cases),
            planned=tuple(case.test.name for case in self._cases),
            warnings=tuple(self._warnings),
        )


def execute(cases: Sequence[Case], options: Options, listener: Listener) -> BenchReport:
    """Measure every case. Ctrl-C ends it; ``complete`` of the report is ``False`` then.

    Raises:
        LlamactlError: The engine can't load or compute; reports of finished tests were handed out before.
    """
    apply_to_process(options)
    counters = Counters.open(options.workers)
    draft = Draft(environment(counters, options), cases, listener)
    for text in standing_warnings(cases):
        draft.warn(text)
    session = Session(counters)
    try:
        with guard.interruptible():
            for number, case in enumerate(cases, 1):
                if options.delay_s:
                    time.sleep(options.delay_s)
                try:
                    result = _measure(session, case, options, listener, (number, len(cases)))
                except WarmCacheError as why:
                    draft.skip(why)
                else:
                    draft.add(result, session.facts)
    except InterruptedTestError:
        pass
    finally:
        session.close()
        counters.close()
    return draft.report()


def standing_warnings(cases: Sequence[Case]) -> list[str]:
    """Return what speaks against measuring here at all."""
    found = list(machine.standing_doubts(machine.facts()))
    budget, most = cpu_budget(), max(case.setup.n_threads for case in cases)
    if most > budget.threads:
        found.append(f"{most} threads on a budget of {budget}: they will wait for each other")
    return found


def _measure(
    session: Session, case: Case, options: Options, listener: Listener, count: tuple[int, int]
) -> Result:
    started = now_utc()
    if case.test.kind == "processes":
        return measure_processes(case, options, started, _progress(listener, count, case))
    progress = _progress(listener, count, case)
    progress(0)
    samples: list[Sample] = []
    try:
        crossings, tokens = session.prepare(case, warm_up=options.warm_up)
        before = machine.moment()
        for index in range(options.repetitions):
            progress(index + 1)
            samples.append(session.sample())
            check_cold(case, samples[-1])
            _stop_if_interrupted()
    except (DecodeAbortedError, KeyboardInterrupt):
        raise InterruptedTestError from None
    except LlamactlError:
        _stop_if_interrupted()
        raise
    around = machine.between(before, machine.moment())
    return Result(
        setup=case.setup,
        test=case.test,
        test_time=started,
        samples=tuple(samples),
        crossings=crossings,
        crossings_tokens=tokens,
        memory=session.memory(),
        machine=around,
        warnings=machine.doubts(around, samples),
    )


def _progress(listener: Listener, count: tuple[int, int], case: Case) -> Callable[[int], object]:
    return lambda repetition: listener.on_progress(*count, case.test.name, repetition)


def _stop_if_interrupted() -> None:
    if guard.interrupted():
        raise InterruptedTestError


def now_utc() -> str:
    """Return the time as llama-bench writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
