"""``llamactl trace``: what a program asks of Linux, call by call and phase by phase."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from llamactl.cli.groups import expanded
from llamactl.cli.trace.options import RecordingOptions, SelectingOptions, ShowingOptions

CONTEXT = {"allow_interspersed_args": False}
"""Everything from the command's first word on belongs to the command, with or without ``--``."""

EXAMPLES = """Record a program's system calls, files, mappings, threads and phases.

The program keeps its stdin and stdout; the report goes to stderr. Its exit status is ours.

\b
Examples:
  llamactl trace -- python app.py
  llamactl trace -o run.capture -- run -n 32 "Hello"
  llamactl trace --from run.capture --show phases,calls,files
  llamactl trace -e trace=%file,%memory --log -- ./server
  llamactl trace -p 1234 --duration 5 --chrome trace.json
"""


@expanded
def trace(
    command: Annotated[
        list[str] | None,
        Argument(metavar="[-- COMMAND …]", help="What to run. Without it: llamactl run with a short prompt."),
    ] = None,
    recording: RecordingOptions = RecordingOptions(),
    selecting: SelectingOptions = SelectingOptions(),
    showing: ShowingOptions = ShowingOptions(),
) -> int:
    """Record a program's system calls."""
    from llamactl.cli.trace.request import check
    from llamactl.cli.trace.run import record_and_show, show_again

    check(command or [], recording, selecting, showing)
    if recording.source is not None:
        return show_again(recording, selecting, showing)
    return record_and_show(command or [], recording, selecting, showing)


trace.__doc__ = EXAMPLES
