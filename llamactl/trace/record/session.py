"""One recording, from the choice of an engine to a closed capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llamactl.trace.record.session_loop import Session
from llamactl.trace.record.session_signals import OwnSignals
from llamactl.trace.record.signals_held import SignalsHeld
from llamactl.trace.record.syscalls.base import Command, Options
from llamactl.trace.record.syscalls.choose import choose_engine
from llamactl.trace.record.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from llamactl.trace.capture.writer import CaptureWriter
    from llamactl.trace.record.session_types import Progress, SessionOptions, SessionResult


def record(
    target: Command | int,
    options: SessionOptions,
    writer: CaptureWriter,
    progress: Callable[[Progress], None] | None = None,
) -> SessionResult:
    """Record a command from its start, or a running process, and close the capture.

    Ctrl-C: an attached program is let go; a started one gets its own SIGINT and is recorded to its end, and
    the second Ctrl-C kills it. SIGTERM and SIGHUP are passed on to a started program, and let an attached one go.

    Raises:
        LlamactlError: The recording couldn't begin: what was refused, why, and the remedy.
    """
    with World():
        return _record(target, options, writer, progress)


def _record(
    target: Command | int,
    options: SessionOptions,
    writer: CaptureWriter,
    progress: Callable[[Progress], None] | None,
) -> SessionResult:
    choice = choose_engine(
        options.engine, Options(options.selection, options.faults, asks=options.asks(target)),
        attach=not isinstance(target, Command),
    )  # fmt: skip
    session = Session(target, options, writer, choice, progress)
    try:
        with OwnSignals(session.answers.take):
            return session.run()
    finally:
        with SignalsHeld():
            session.free()
