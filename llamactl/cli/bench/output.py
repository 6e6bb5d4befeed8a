"""What a benchmark shows and stores while it goes on and at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path

from llamactl.bench.compare import ReportComparison
from llamactl.bench.execute import Listener
from llamactl.bench.gate import Verdict
from llamactl.bench.report import BenchReport
from llamactl.bench.store import split_reference
from llamactl.cli import boundary
from llamactl.cli.bench.options import CheckOptions, OutputOptions
from llamactl.errors import LlamactlError, UsageError
from llamactl.output.apart import check_apart
from llamactl.output.file import append_text, check_writable, replace_text
from llamactl.render.bench import ci as bench_ci
from llamactl.render.bench import files as bench_files
from llamactl.render.bench import steps as bench_steps
from llamactl.render.bench import table as bench_table
from llamactl.render.bench.history import History
from llamactl.render.safe import safe_text
from llamactl.snapshot.gguf.splits import files_of

FORMATS: dict[str, Callable[[BenchReport], str]] = {
    "md": bench_table.markdown,
    "csv": bench_files.csv_text,
    "json": bench_files.json_document,
    "jsonl": bench_files.json_lines,
    "sql": bench_files.sql,
    "github-action-benchmark": bench_ci.github_action_benchmark,
    "bencher": bench_ci.bencher,
    "summary": bench_ci.summary,
}
SUFFIXES = {".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".md": "md", ".sql": "sql"}
HISTORY_SUFFIXES = {".sqlite", ".sqlite3", ".db"}


def format_of(name: str, option: str) -> Callable[[BenchReport], str]:
    """Return what writes a format.

    Raises:
        UsageError: There is no such format.
    """
    if name not in FORMATS:
        raise UsageError(f"{option} {name!r} is unknown", f"Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[name]


def saver(path: str) -> Callable[[BenchReport], None]:
    """Return what stores a report in a file, whole each time.

    Raises:
        UsageError: The suffix names no format, or the directory can't be written.
    """
    file = Path(path)
    try:
        check_writable(file)
    except OSError as error:
        raise UsageError(f"--save {path!r} can't be written: {error.strerror}", "Check the path.") from None
    if file.suffix in HISTORY_SUFFIXES:
        history = History(file)
        history.check()
        return history.save
    if file.suffix not in SUFFIXES:
        known = ", ".join([*SUFFIXES, ".sqlite"])
        raise UsageError(f"--save {path!r} has an unknown suffix", f"Use one of: {known}.")
    text_of = FORMATS[SUFFIXES[file.suffix]]
    return lambda report: replace_text(file, text_of(report))


def check_outputs(output: OutputOptions, check: CheckOptions, models: Collection[str]) -> None:
    """Refuse an output that would replace a model or what is compared with.

    A history may be both: a run is added to it.

    Raises:
        UsageError: One would, or two outputs are one file.
    """
    baseline = split_reference(check.baseline)[0] if check.baseline else None
    histories = [path for path in output.save if Path(path).suffix in HISTORY_SUFFIXES]
    outputs: list[tuple[str, str | None]] = [
        ("--save", path) for path in output.save if path not in histories
    ]
    outputs += [("--plot", output.plot), ("--summary", output.summary)]
    inputs: list[tuple[str, str | None]] = [("-m", part) for model in models for part in files_of(model)]
    if check.update_baseline:
        outputs.append(("--baseline", baseline))
    else:
        inputs.append(("--baseline", baseline))
    check_apart(outputs, [*inputs, *(("--save", path) for path in histories)])


class Face:
    """The output of one benchmark. Making it checks everything that can be refused before measuring."""

    def __init__(self, options: OutputOptions) -> None:
        self._options = options
        self._format = format_of(options.output, "-o")
        self._format_err = format_of(options.output_err, "-oe") if options.output_err else None
        self._savers = [saver(path) for path in options.save]
        self._unsaved: LlamactlError | None = None
        if options.plot:
            from llamactl.render.bench import plot as bench_plot

            bench_plot.check(options.plot)

    def listener(self) -> Listener:
        """Return what listens while it goes on."""
        return Listener(self._progress(), self._save, self._warn)

    def finish(self, report: BenchReport) -> None:
        """Show the result."""
        sys.stdout.write(self._format(report))
        if self._format_err:
            sys.stderr.write(self._format_err(report))
        elif self._options.output == "md" and not self._options.quiet:
            shown = bench_table.details, bench_steps.steps, bench_table.workers, bench_table.missing
            sys.stderr.write("\n" + "".join(text_of(report) for text_of in shown))
        if self._options.plot and report.results:
            from llamactl.render.bench import plot as bench_plot

            bench_plot.plot(report, self._options.plot)

    def summarize(
        self, report: BenchReport, found: ReportComparison | None = None, verdicts: tuple[Verdict, ...] = ()
    ) -> None:
        """Append the page for a CI job, if one is wanted."""
        if self._options.summary:
            append_text(self._options.summary, bench_ci.summary(report, found, verdicts))

    def check_saved(self) -> None:
        """Raise what went wrong when the result was stored: it was shown, and isn't lost."""
        if self._unsaved is not None:
            raise self._unsaved

    def _save(self, report: BenchReport) -> None:
        for save in self._savers:
            try:
                save(report)
            except OSError as error:
                self._unsaved = LlamactlError(
                    f"the result can't be stored: {error.strerror}", "Free space, or write elsewhere."
                )
            except LlamactlError as error:
                self._unsaved = error

    def _warn(self, text: str) -> None:
        if not self._options.quiet:
            boundary.warn(text)

    def _progress(self) -> Callable[[int, int, str, int], None]:
        lines, bar = self._options.progress, sys.stderr.isatty() and not self._options.quiet

        def show(number: int, count: int, name: str, repetition: int) -> None:
            what = f"repetition {repetition}" if repetition else "warm-up"
            text = safe_text(f"llamactl bench: {number}/{count}: {name}: {what}")
            if lines:
                print(text, file=sys.stderr)
            elif bar:
                sys.stderr.write(f"\r{text}\x1b[K")
                sys.stderr.flush()

        return show
