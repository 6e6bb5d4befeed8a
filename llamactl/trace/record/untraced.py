"""Run a program as it is, to compare with."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from llamactl.errors import LlamactlError

if TYPE_CHECKING:
    from llamactl.trace.record.syscalls.base import Command


def time_untraced(command: Command) -> tuple[float, int]:
    """Run the command without recording, its output thrown away; return its seconds and its exit status.

    Raises:
        LlamactlError: It can't be run.
    """
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command.argv, env=command.env, cwd=command.cwd, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise LlamactlError(f"can't run {command.argv[0]} again without tracing: {error.strerror}") from error
    code = done.returncode
    return time.monotonic() - begin, 128 - code if code < 0 else code
