"""The command line of ``llamactl trace`` turned into what the session and the views take."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.errors import UsageError
from llamactl.process import proc_pid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamactl.cli.trace.options import RecordingOptions, SelectingOptions, ShowingOptions
    from llamactl.trace.decode.filters import Selection

OWN_RUN = ("run", "--temp", "0", "-n", "32", "What is a system call?")
"""What is traced without a command: small, and the same text every time."""

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def check(
    command: Sequence[str], recording: RecordingOptions, selecting: SelectingOptions, showing: ShowingOptions
) -> None:
    """Refuse what contradicts itself, before anything is run.

    Raises:
        UsageError: Options exclude each other, or a value isn't known.
    """
    from llamactl.render.trace.formats import format_of
    from llamactl.render.trace.tables import chosen_tables

    sources = [bool(command), recording.pid is not None, recording.source is not None]
    if sum(sources) > 1:
        raise UsageError("a command, -p and --from exclude each other", "Give one of them.")
    if recording.source is not None and recording.output is not None:
        raise UsageError("-o with --from would write the same capture again", "Copy the file instead.")
    if recording.compare_untraced and (recording.pid is not None or recording.source is not None):
        raise UsageError("--compare-untraced needs a command to run again", "Give the command after --.")
    _check_recording(recording)
    if (recording.watch or recording.breakpoints) and (recording.source is not None or not recording.calls):
        name = "--watch" if recording.watch else "--breakpoints"
        raise UsageError(
            f"{name} needs the calls of a command or a process", "Leave out --from and --no-calls."
        )
    if selecting.phases:
        _check_phases(selecting.phases)
    format_of(showing.format, None)
    chosen_tables(showing.show)
    limits(recording.limit)
    selection_of(selecting, recorded_all=recording.source is not None)


def _check_recording(recording: RecordingOptions) -> None:
    if recording.children and recording.pid is None:
        raise UsageError(
            "--children is for -p", "A command that llamactl starts is recorded with all its children."
        )
    if recording.pid is not None and recording.pid <= 0:
        raise UsageError(f"-p {recording.pid} isn't a process")
    if recording.pid is not None and not proc_pid.is_there(recording.pid):
        raise UsageError(f"no process has the number {recording.pid}", "See them with: ps -e")
    if recording.recorder is not None:
        from llamactl.trace.record.syscalls.choose import RECORDERS

        if recording.recorder not in RECORDERS:
            known = ", ".join(RECORDERS)
            raise UsageError(f"there is no recorder {recording.recorder!r}", f"Recorders are {known}.")
    if recording.duration is not None and not math.isfinite(recording.duration):
        raise UsageError(f"--duration {recording.duration:g} isn't a time", "Give a number of seconds.")


def target(command: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the command line to start, and whether it is llamactl's own run, which marks its phases."""
    words = list(command) or list(OWN_RUN)
    if words[0] == "run":
        return (*own_program(), *words), True
    return tuple(words), False


def own_program() -> tuple[str, ...]:
    """Return what starts llamactl again: its script, which a source tree in the current directory can't hide."""
    script = Path(sys.executable).with_name("llamactl")
    return (str(script),) if script.is_file() else (sys.executable, "-m", "llamactl")


def limits(text: str | None) -> tuple[int | None, int | None]:
    """Return (records, bytes) of ``--limit``: a number counts records, a size such as ``100M`` bytes.

    Raises:
        UsageError: It is neither.
    """
    if text is None:
        return None, None
    match = re.fullmatch(r"(\d+)([kmg]?)(i?b)?", text.strip().lower())
    if not match or not int(match[1]):
        raise UsageError(
            f"--limit {text} is neither a number of records nor a size", "Such as 100000 or 100M."
        )
    if not match[2] and not match[3]:
        return int(match[1]), None
    return None, int(match[1]) * _UNITS[match[2]]


def _check_phases(asked: Sequence[str]) -> None:
    from llamactl.trace.mechanisms.phases import ORDER, OUTSIDE

    for phase in asked:
        if phase not in (*ORDER, OUTSIDE):
            known = ", ".join((*ORDER, OUTSIDE))
            raise UsageError(f"--phase {phase}: there is no such phase", f"Phases: {known}.")


def selection_of(selecting: SelectingOptions, recorded_all: bool, arch: int | None = None) -> Selection:
    """Return the selection that the options mean.

    Args:
        selecting: The options.
        recorded_all: Whether, without ``-e``, all calls are meant (a capture) or the default ones (a recording).
        arch: The architecture whose numbers count; None for this machine's.
    """
    from llamactl.trace.decode.filters import Selection, default_calls, parse_calls
    from llamactl.trace.decode.table import ARCH_NAMES, arch_of

    if arch is None:
        arch = arch_of(platform.machine()) if platform.machine() in ARCH_NAMES else 0
    if selecting.expressions:
        calls = parse_calls(selecting.expressions, arch)
    else:
        calls = None if recorded_all else default_calls(arch)
    return Selection(
        calls=calls,
        paths=tuple(os.fsencode(path) for path in selecting.paths),
        phases=tuple(selecting.phases),
        threads=tuple(selecting.threads),
        errors=selecting.errors,
    )
