"""The entry point: runs the app inside the error boundary."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import NoReturn

from llamactl.cli.boundary import guarded, say
from llamactl.errors import EXIT_INTERRUPTED, EXIT_USAGE

ESCAPED = "llamactl.escaped"


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    _open_standard_streams()
    sys.exit(guarded(_run))


def _open_standard_streams() -> None:
    """Put /dev/null where stdin, stdout or stderr is closed: else the next file opened gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error(ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Return what a locale's encoding lacks as ``\uXXXX``, which is right in JSON, too (codecs.register_error)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{lacking[i : i + 2].hex()}" for i in range(0, len(lacking), 2)), error.end


def _run() -> int:
    from typer import Abort, Exit, TyperException

    from llamactl.cli.app import app

    try:
        status = app(standalone_mode=False, prog_name="llamactl")
    except Exit as end:
        return int(end.exit_code)
    except Abort:
        return EXIT_INTERRUPTED
    except SystemExit as end:
        # Typer answers a closed stdout with an exit of its own; the boundary knows the right status.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        raise
    except TyperException as error:
        from llamactl.cli.unknown_option import complaint

        say(complaint(error))
        return EXIT_USAGE
    return int(status or 0)
