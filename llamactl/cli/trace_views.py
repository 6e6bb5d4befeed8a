"""Where the views of a trace go: stderr or files, opened before anything is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from llamactl.cli.boundary import warn
from llamactl.errors import UsageError

if TYPE_CHECKING:
    from llamactl.cli.trace import ShowingOptions
    from llamactl.trace.analysis.report import TraceReport
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.filters import Selection
    from llamactl.trace.session_types import Progress

_MODE = 0o600
"""A trace tells paths and arguments: its files are for their owner."""

_REFRESH_S = 0.2


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
        self._report = self._open(showing.report) or sys.stderr
        self._files = {
            name: file
            for name in ("chrome", "folded", "jsonl")
            if (file := self._open(getattr(showing, name))) is not None
        }
        # SQLite opens it by its name, at the end: too late to learn that it can't.
        self._open(showing.sqlite)

    def __enter__(self) -> Views:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def show(self, capture: Capture, selection: Selection) -> None:
        """Write the report and every export that was asked for."""
        from llamactl.trace.analysis.model_tensors import tensors_of
        from llamactl.trace.analysis.report import analyse

        report = analyse(capture, selection, tensors_of)
        if not report.calls and (selection.paths or selection.phases or selection.threads):
            warn("no system call that was recorded is of such a path (-P), --phase or --thread")
        if not self._showing.quiet:
            self._write(self._report, [self._text(report)])
        for name, file in self._files.items():
            self._write(file, _EXPORTS[name](capture, selection, report))
        if self._showing.sqlite:
            from llamactl.render.trace_sqlite import write_sqlite
            from llamactl.trace.analysis.events import read_events

            write_sqlite(Path(self._showing.sqlite), read_events(capture, selection), report)

    def log_all(self, capture: Capture, selection: Selection) -> None:
        """Write the log of a whole capture."""
        from llamactl.render.trace_log import log_lines
        from llamactl.trace.analysis.events import read_events

        begin = min((int(chunk["start"].min()) for chunk in capture.chunks() if len(chunk)), default=0)
        self._write(self._report, (f"{line}\n" for line in log_lines(read_events(capture, selection), begin)))

    def follower(self, path: Path, selection: Selection) -> Follower:
        """Return what shows a recording while it runs."""
        return Follower(path, selection, self._report if self._showing.log else None, self._showing.quiet)

    def _text(self, report: TraceReport) -> str:
        from llamactl.render.trace_formats import FORMATS, format_of
        from llamactl.render.trace_report import report_text
        from llamactl.render.trace_tables import chosen_tables

        showing = self._showing
        name = format_of(showing.format, Path(showing.report) if showing.report else None)
        tables = chosen_tables(showing.show)
        if name == "table":
            return report_text(report, tables, showing.explain)
        return FORMATS[name](report, tables)

    def _open(self, name: str | None) -> IO[str] | None:
        if name is None:
            return None
        try:
            handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise UsageError(f"can't write {name}: {error.strerror}", "Give another file.") from error
        return self._stack.enter_context(os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace"))

    def _write(self, file: IO[str], pieces: Iterable[str]) -> None:
        for piece in pieces:
            file.write(piece)
        file.flush()


def _chrome(capture: Capture, selection: Selection, report: TraceReport) -> Iterable[str]:
    from llamactl.render.chrome_trace import chrome_trace
    from llamactl.trace.analysis.events import derived_phases, read_events

    return chrome_trace(read_events(capture, selection), report, derived_phases(capture))


def _folded(capture: Capture, selection: Selection, report: TraceReport) -> Iterable[str]:
    from llamactl.render.folded import folded_lines
    from llamactl.trace.analysis.events import read_events

    return (f"{line}\n" for line in folded_lines(read_events(capture, selection), report))


def _jsonl(capture: Capture, selection: Selection, _: TraceReport) -> Iterable[str]:
    from llamactl.render.trace_jsonl import jsonl_lines
    from llamactl.trace.analysis.events import read_events

    return (f"{line}\n" for line in jsonl_lines(read_events(capture, selection)))


_EXPORTS: dict[str, Callable[[Capture, Selection, TraceReport], Iterable[str]]] = {
    "chrome": _chrome,
    "folded": _folded,
    "jsonl": _jsonl,
}
"""By option; a new export is a function and a line here."""


class Follower:
    """Shows a recording while it runs: the live log, or a progress line on a terminal.

    Args:
        path: The capture as it grows; it is readable at any moment.
        selection: What the log shows. Phases aren't known before the end.
        log: Where the log goes; None for no log.
        quiet: No progress line.
    """

    def __init__(self, path: Path, selection: Selection, log: IO[str] | None, quiet: bool) -> None:
        from llamactl.cli.trace_live import LiveLog

        self._live = LiveLog(path, selection, log) if log else None
        self._line = sys.stderr.isatty() and not quiet and log is None
        self._next = 0.0
        self._shown = False

    def progress(self, progress: Progress) -> None:
        """Take the session's state, several times a second."""
        if progress.elapsed_s < self._next:
            return
        self._next = progress.elapsed_s + _REFRESH_S
        if self._live:
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
