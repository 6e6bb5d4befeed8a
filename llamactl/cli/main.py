"""The entry point: runs the app inside the error boundary."""

from __future__ import annotations

import sys
from typing import NoReturn

from llamactl.cli import streams
from llamactl.cli.boundary import guarded, say
from llamactl.errors import EXIT_INTERRUPTED, EXIT_USAGE


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    streams.prepare()
    sys.exit(guarded(_run))


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
