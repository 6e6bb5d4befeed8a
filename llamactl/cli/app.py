"""The commands, put together. Each lives in the file of its name and imports its room when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from llamactl.cli.run import run

app = typer.Typer(
    name="llamactl",
    help="Show what passes between Python and llama.cpp.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from llamactl.cli.version import version_text

        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def llamactl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show all versions and exit.")
    ] = False,
) -> None:
    """Show what passes between Python and llama.cpp."""


app.command("run", no_args_is_help=False)(run)
