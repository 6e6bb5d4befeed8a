"""Run ``llamactl inspect`` alone, inside of the error boundary that the whole program has."""

import sys

import typer

from llamactl.cli.boundary import guarded
from llamactl.cli.inspect.command import inspect

app = typer.Typer(pretty_exceptions_enable=False)
app.command("inspect")(inspect)


def run() -> int:
    return int(app(standalone_mode=False, prog_name="llamactl inspect") or 0)


sys.exit(guarded(run))
