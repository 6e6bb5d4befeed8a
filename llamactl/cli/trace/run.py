"""Record and show, or show again: the two things that ``llamactl trace`` does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llamactl.cli.boundary import warn
from llamactl.cli.trace.outputs import check_outputs
from llamactl.cli.trace.request import limits, selection_of, target
from llamactl.cli.trace.views import Views
from llamactl.errors import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llamactl.cli.trace.options import RecordingOptions, SelectingOptions, ShowingOptions
    from llamactl.trace.record.session_types import SessionOptions, SessionResult


def show_again(recording: RecordingOptions, selecting: SelectingOptions, showing: ShowingOptions) -> int:
    """Show a capture file; return 0."""
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.decode.table import ARCH_NAMES, arch_of

    assert recording.source is not None
    check_outputs(recording, showing, ())
    capture = Capture.open(recording.source)
    machine = capture.metadata.get("machine")
    arch = arch_of(machine) if machine in ARCH_NAMES else None
    selection = selection_of(selecting, recorded_all=True, arch=arch)
    with Views(showing) as views:
        if showing.log:
            views.log_all(capture, selection)
        views.show(capture, selection)
    return 0


def record_and_show(
    command: Sequence[str],
    recording: RecordingOptions,
    selecting: SelectingOptions,
    showing: ShowingOptions,
) -> int:
    """Record a command or a process, show it, and return the program's exit status."""
    from llamactl.cli.trace.capture import capture_writer, kept_unless_shown
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.record.session import record
    from llamactl.trace.record.syscalls.base import Command

    selection = selection_of(selecting, recorded_all=False)
    argv, own = target(command)
    check_outputs(recording, showing, argv)
    with capture_writer(recording.output) as writer, kept_unless_shown(writer), Views(showing) as views:
        path = writer.path
        options = _session_options(recording, selection.calls, own)
        follow = views.follower(path, selection, recording.pid)
        result = record(recording.pid or Command(argv), options, writer, follow.progress)
        follow.finish()
        if recording.compare_untraced and result.error is None:
            _compare(path, argv, result)
        capture = Capture.open(path)
        # What was selected for recording needs no second filter.
        views.show(capture, replace(selection, calls=None))
    return _status(result)


def _session_options(recording: RecordingOptions, calls: frozenset[int] | None, own: bool) -> SessionOptions:
    from llamactl.trace.record.session_types import SessionOptions

    limit_records, limit_bytes = limits(recording.limit)
    return SessionOptions(
        engine=recording.recorder,
        selection=calls,
        faults=recording.faults,
        duration_s=recording.duration,
        limit_records=limit_records,
        limit_bytes=limit_bytes,
        marks=own,
        keep_argv=not recording.no_argv,
        calls=recording.calls,
        breakpoints=recording.breakpoints,
        watch=recording.watch,
        children=recording.children,
    )


def _compare(path: Path, argv: tuple[str, ...], result: SessionResult) -> None:
    """Run the command again without tracing, its output thrown away, and keep both times in the capture.

    A recording that ended before its program did is compared with nothing.
    """
    from llamactl.trace.capture.reader import Capture
    from llamactl.trace.capture.writer import add_metadata
    from llamactl.trace.record.metadata import compared_facts
    from llamactl.trace.record.syscalls.base import Command
    from llamactl.trace.record.untraced import time_untraced

    untraced = time_untraced(Command(argv)) if result.ended == "exit" else None
    add_metadata(path, compared_facts(Capture.open(path).metadata, result, untraced))


def _status(result: SessionResult) -> int:
    """Return the program's status; ours only where the program has none."""
    if result.error is not None:
        warn(str(result.error))
        return EXIT_FAILED
    if result.exit_code is not None:
        return result.exit_code
    return EXIT_INTERRUPTED if result.ended == "interrupt" else 0
