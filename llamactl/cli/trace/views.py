"""Where the views of a trace go: stderr or files, opened before anything is run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from llamactl.cli.boundary import warn
from llamactl.cli.trace.terminal import is_ours
from llamactl.output.file import OutputText

if TYPE_CHECKING:
    from types import TracebackType

    from llamactl.cli.trace.options import ShowingOptions
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.decode.filters import Selection
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.record.session_types import Progress

FILES = ("report", "chrome", "folded", "jsonl", "sqlite")
"""The options that name a file."""

_REFRESH_S = 0.2
_PATIENCE_S = 1.0
"""Helpers of a program that has ended get so long to end, too."""


class Views:
    """The outputs of one trace.

    Args:
        showing: The options.

    Raises:
        UsageError: A file can't be written; told before anything is recorded.
    """

    def __init__(self, showing: ShowingOptions) -> None:
        self._showing = showing
        self._stack = ExitStack()
        try:
            self._outputs = {
                name: self._stack.enter_context(OutputText(file, f"--{name}"))
                for name in FILES
                if (file := getattr(showing, name)) is not None
            }
        except BaseException:
            self._stack.__exit__(*sys.exc_info())
            raise
        self._report = self._outputs["report"].stream if "report" in self._outputs else sys.stderr

    def __enter__(self) -> Views:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def show(self, capture: Capture, selection: Selection) -> None:
        """Write the report and every export that was asked for."""
        from llamactl.trace.mechanisms.interface.model_tensors import tensors_of
        from llamactl.trace.mechanisms.report import analyse

        report = analyse(capture, selection, tensors_of)
        if not report.calls and (selection.paths or selection.phases or selection.threads):
            warn("no system call that was recorded is of such a path (-P), --phase or --thread")
        if not self._showing.quiet:
            self._write(self._report, [self._text(report)])
        for name, export in _EXPORTS.items():
            if name in self._outputs:
                self._write(self._outputs[name].stream, export(capture, selection, report))
        if "sqlite" in self._outputs:
            from llamactl.render.trace.sqlite import write_sqlite
            from llamactl.trace.mechanisms.events import read_events

            output = self._outputs["sqlite"]
            events = read_events(capture, selection)
            write_sqlite(cast("IO[bytes]", output.stream.buffer), events, report, output.folder)

    def log_all(self, capture: Capture, selection: Selection) -> None:
        """Write the log of a whole capture."""
        from llamactl.render.trace.log import log_lines
        from llamactl.trace.mechanisms.events import read_events

        lines = log_lines(read_events(capture, selection), capture.begin_ns)
        self._write(self._report, (f"{line}\n" for line in lines))

    def follower(self, path: Path, selection: Selection, pid: int | None) -> Follower:
        """Return what shows a recording of a process (None: of a command) while it runs."""
        log = self._report if self._showing.log else None
        return Follower(path, selection, log, self._showing.quiet, self._outputs.get("report"), pid)

    def _text(self, report: TraceReport) -> str:
        from llamactl.render.trace.formats import FORMATS, format_of
        from llamactl.render.trace.report import report_text
        from llamactl.render.trace.tables import chosen_tables

        showing = self._showing
        name = format_of(showing.format, Path(showing.report) if showing.report else None)
        tables = chosen_tables(showing.show)
        if name == "table":
            return report_text(report, tables, showing.explain)
        return FORMATS[name](report, tables)

    def _write(self, file: IO[str], pieces: Iterable[str]) -> None:
        for piece in pieces:
            file.write(piece)
        file.flush()


def _chrome(capture: Capture, selection: Selection, report: TraceReport) -> Iterable[str]:
    from llamactl.render.trace.chrome_trace import chrome_trace
    from llamactl.trace.mechanisms.events import derived_phases, read_events

    return chrome_trace(read_events(capture, selection), report, derived_phases(capture))


def _folded(capture: Capture, selection: Selection, report: TraceReport) -> Iterable[str]:
    from llamactl.render.trace.folded import folded_lines
    from llamactl.trace.mechanisms.events import read_events

    return (f"{line}\n" for line in folded_lines(read_events(capture, selection), report))


def _jsonl(capture: Capture, selection: Selection, _: TraceReport) -> Iterable[str]:
    from llamactl.render.trace.jsonl import jsonl_lines
    from llamactl.trace.mechanisms.events import read_events

    return (f"{line}\n" for line in jsonl_lines(read_events(capture, selection)))


_EXPORTS: dict[str, Callable[[Capture, Selection, TraceReport], Iterable[str]]] = {
    "chrome": _chrome,
    "folded": _folded,
    "jsonl": _jsonl,
}
"""By option; a new export is a function and a line here."""


class Waiting:
    """Says once what a recording goes on for when the program itself has ended, and how to end it."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = False

    def take(self, progress: Progress) -> None:
        """Take the session's state."""
        if self._said or not progress.left:
            return
        self._since = progress.elapsed_s if self._since is None else self._since
        if progress.elapsed_s - self._since >= _PATIENCE_S:
            self._said = True
            from llamactl.render.trace.waiting import waiting_text

            warn(waiting_text(progress.left))


class Follower:
    """Shows a recording while it runs: the live log, or a progress line on a terminal that nobody else has.

    Args:
        path: The capture as it grows; it is readable at any moment.
        selection: What the log shows. Phases aren't known before the end.
        log: Where the log goes; None for no log.
        quiet: No progress line.
        file: The file that the log goes to: it gets its name once recording has begun, to be followed.
        pid: The process that is recorded; None for a command that is started.
    """

    def __init__(
        self,
        path: Path,
        selection: Selection,
        log: IO[str] | None,
        quiet: bool,
        file: OutputText | None,
        pid: int | None,
    ) -> None:
        from llamactl.cli.trace.live import LiveLog

        self._file = file
        self._live = LiveLog(path, selection, log) if log else None
        self._line = not quiet and log is None and is_ours(pid)
        self._next = 0.0
        self._shown = False
        self._waiting = None if quiet else Waiting()

    def progress(self, progress: Progress) -> None:
        """Take the session's state, several times a second."""
        if self._waiting is not None:
            self._waiting.take(progress)
        if progress.elapsed_s < self._next:
            return
        self._next = progress.elapsed_s + _REFRESH_S
        if self._live:
            if self._file is not None:
                self._file.publish()
            self._live.update()
        elif self._line:
            self._shown = True
            lost = f", {progress.lost:,} lost" if progress.lost else ""
            size = progress.capture_bytes / 1e6
            text = f"trace: {progress.elapsed_s:.1f} s, {progress.records:,} records, {size:.1f} MB{lost}"
            sys.stderr.write(f"\r{text:<70}")
            sys.stderr.flush()

    def finish(self) -> None:
        """Show what is left and clear the progress line."""
        if self._live:
            self._live.update()
        if self._shown:
            sys.stderr.write("\r" + " " * 70 + "\r")
            sys.stderr.flush()
