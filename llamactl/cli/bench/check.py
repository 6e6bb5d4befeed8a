"""The checks of ``llamactl bench``: what to compare with, and the exit status that follows."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from llamactl.bench import store
from llamactl.bench.compare import ReportComparison, compare, result_names
from llamactl.bench.execute import Listener, execute
from llamactl.bench.gate import ALLOWABLE, Condition, Verdict, check_baseline, judge, parse
from llamactl.bench.measure.statistics import require_scipy
from llamactl.bench.options import Options
from llamactl.bench.paired import execute_paired, pairs_per_process
from llamactl.bench.plan import Case, Setup
from llamactl.bench.remote import Side, engine_side, python_side
from llamactl.bench.report import BenchReport
from llamactl.cli import boundary
from llamactl.cli.bench.options import CheckOptions, ConditionOptions
from llamactl.cli.bench.output import Face
from llamactl.errors import EXIT_CHECK_FAILED, EXIT_FAILED, EXIT_OK, UsageError
from llamactl.output.file import replace_text
from llamactl.render.bench.compare import comparison_document, comparison_tables, verdict_lines
from llamactl.render.bench.files import json_document
from llamactl.render.safe import safe_text


def check_confidence(confidence: float) -> None:
    """Raise :class:`UsageError` unless the share makes sense."""
    if not 0.5 <= confidence <= 0.9999:
        raise UsageError(f"--confidence {confidence:g} is out of range", "Use 0.5 to 0.9999.")


def check_allowed(names: Collection[str]) -> None:
    """Raise :class:`UsageError` for a name that nothing has."""
    for name in names:
        if name not in ALLOWABLE:
            raise UsageError(
                f"--allow-different {name!r} is unknown", f"Choose one of: {', '.join(ALLOWABLE)}."
            )


class Check:
    """What the options ask to be checked; making it refuses what can't work, before measuring.

    Args:
        options: When to fail.
        conditions: Against which engine.
        planned: Setup and name of each test that will be measured.
    """

    def __init__(
        self, options: CheckOptions, conditions: ConditionOptions, planned: list[tuple[Setup, str]]
    ) -> None:
        self._options = options
        self._side = _side(conditions)
        self._per_process = 1
        check_confidence(options.confidence)
        check_allowed(options.allow_different)
        self._conditions: tuple[Condition, ...] = parse(options.fail_if, result_names(planned))
        self._baseline = self._read_baseline()
        if self._side or self._baseline:
            require_scipy()
        if self._conditions and not self._side and not options.baseline:
            raise UsageError(
                "--fail-if has nothing to compare with", "Give --baseline, --against or --against-python."
            )

    def _read_baseline(self) -> BenchReport | None:
        options = self._options
        if options.update_baseline and not options.baseline:
            raise UsageError("--update-baseline needs the file", "Give --baseline FILE.")
        if options.baseline and self._side:
            raise UsageError("--baseline and --against exclude each other", "Give one of them.")
        if not options.baseline or options.update_baseline:
            return None
        return store.load(options.baseline)

    def measure(
        self, cases: Sequence[Case], options: Options, listener: Listener
    ) -> tuple[BenchReport | None, BenchReport]:
        """Measure, in turns if asked, and return what to compare with and the result."""
        if self._side:
            self._per_process = pairs_per_process(options.repetitions)
            return execute_paired(cases, options, self._side, Side(), listener)
        return self._baseline, execute(cases, options, listener)

    def finish(self, base: BenchReport | None, report: BenchReport, face: Face) -> int:
        """Compare, tell, and return the exit status."""
        options = self._options
        if options.update_baseline and options.baseline:
            replace_text(options.baseline, json_document(report))
        if base is None:
            face.summarize(report)
            return EXIT_OK
        if self._side is None:
            check_baseline(base, report, options.allow_different)
        found = compare(
            base,
            report,
            paired=self._side is not None,
            confidence=options.confidence,
            per_process=self._per_process,
        )
        sys.stderr.write("\n" + comparison_tables(found))
        verdicts = judge(self._conditions, found)
        face.summarize(report, found, verdicts)
        return tell(verdicts, strict=options.strict)


def _side(conditions: ConditionOptions) -> Side | None:
    if conditions.against and conditions.against_python:
        raise UsageError("--against and --against-python exclude each other", "Give one of them.")
    if conditions.against:
        return engine_side(conditions.against)
    return python_side(conditions.against_python) if conditions.against_python else None


def tell(verdicts: tuple[Verdict, ...], *, strict: bool) -> int:
    """Say what became of the checks on stderr and return the exit status."""
    for line in verdict_lines(verdicts):
        boundary.say(safe_text(line))
    if any(one.failed for one in verdicts):
        return EXIT_CHECK_FAILED
    return EXIT_FAILED if strict and any(one.uncertain for one in verdicts) else EXIT_OK


def compare_reports(
    base: BenchReport,
    new: BenchReport,
    fail_if: Sequence[str],
    allowed: Collection[str],
    confidence: float,
    *,
    strict: bool,
    json: bool,
) -> int:
    """Compare two stored reports and return the exit status."""
    check_allowed(allowed)
    conditions = parse(fail_if, result_names([(one.setup, one.test.name) for one in new.results]))
    if conditions:
        check_baseline(base, new, allowed)
    found: ReportComparison = compare(base, new, confidence=confidence)
    verdicts = judge(conditions, found)
    sys.stdout.write(comparison_document(found, verdicts) if json else comparison_tables(found))
    return tell(verdicts, strict=strict)
