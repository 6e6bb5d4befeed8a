"""The one error boundary: whatever fails becomes one line on stderr and a documented exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from llamactl.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OUTPUT_CLOSED,
    NO_ROOM,
    LlamactlError,
)
from llamactl.render.safe import safe_text

PROGRAM = "llamactl"


def say(text: str) -> None:
    """Print a line of ours on stderr; what it quotes can't disturb the terminal."""
    # Nobody may be reading stderr: there is no place left to say so.
    with suppress(OSError):
        print(f"{PROGRAM}: {safe_text(text)}", file=sys.stderr)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    say(f"warning: {text}")


def guarded(function: Callable[[], Any]) -> int:
    """Call ``function`` and return the exit status; failures are told in one line, never a traceback.

    ``LLAMACTL_DEBUG=1`` lets exceptions through, for people who work on llamactl.
    """
    try:
        status = function()
        sys.stdout.flush()
    except LlamactlError as error:
        if str(error):
            say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_OUTPUT_CLOSED
    except OSError as error:
        say(_os_error(error))
        _drop_stdout()
        return EXIT_FAILED
    except Exception as error:
        if os.environ.get("LLAMACTL_DEBUG"):
            raise
        say(
            f"internal error: {type(error).__name__}: {error}. Please report it; LLAMACTL_DEBUG=1 shows where."
        )
        return EXIT_FAILED
    return status if isinstance(status, int) else 0


def _os_error(error: OSError) -> str:
    what = f" {os.fsdecode(error.filename)!r}" if error.filename else ""
    if error.errno in NO_ROOM:
        why = "no space left on the device" if error.errno == errno.ENOSPC else "the disk quota is used up"
        return f"{why}{what}. Free space, or write elsewhere."
    return f"{error.strerror or error}{what}"


def _drop_stdout() -> None:
    """Keep Python from trying again to flush at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
