"""Which files a trace writes, compared with those it reads."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from llamactl.cli.trace.views import FILES
from llamactl.output.apart import check_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llamactl.cli.trace.options import RecordingOptions, ShowingOptions


def check_outputs(recording: RecordingOptions, showing: ShowingOptions, argv: Sequence[str]) -> None:
    """Refuse an output that would replace what is read: the capture, the program, a file it is told of.

    Raises:
        UsageError: One would, or two outputs are one file.
    """
    outputs = [("-o", recording.output), *((f"--{name}", getattr(showing, name)) for name in FILES)]
    inputs = [("--from", recording.source), *(("the command", word) for word in argv)]
    if argv:
        inputs.append(("the command", shutil.which(argv[0])))
    check_apart(outputs, inputs)
