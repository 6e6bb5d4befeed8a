"""The commands, put together. Each lives in the folder of its name, whose ``command.py`` is imported when called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from llamactl.cli.strict import StrictCommand
from llamactl.errors import EXIT_USAGE

COMMANDS = {
    "run": "Generate text once, with honest figures.",
    "inspect": "Tell what a model, a process or this machine is, right now.",
    "trace": "Record what a program does: system calls, llama.cpp, GIL, files, threads.",
    "bench": "Measure, compare, and fail the build when it got slower.",
    "worker": "Compute for others over the network, with llama.cpp's own RPC.",
}
"""Name and what the list of commands says of it. A new command is a line here and a folder of its name.

Its ``command.py`` has a function of the command's name and, where needed, ``CONTEXT``: settings for Typer. Or it has
``GROUP``: a Typer app, of a command with commands of its own.
"""


class Commands(TyperGroup):
    """Imports a command when it is called, so that no command waits for another's options."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Return one command; ``None`` if there is none of this name."""
        return command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """Write the list without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def command(name: str) -> Any:
    """Return one command, ready to be called."""
    module = import_module(f"llamactl.cli.{name}.command")
    if hasattr(module, "GROUP"):
        return typer.main.get_command(module.GROUP)
    alone = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
    settings = {"help_option_names": ["-h", "--help"], **getattr(module, "CONTEXT", {})}
    alone.command(name, cls=StrictCommand, context_settings=settings)(getattr(module, name))
    return typer.main.get_command(alone)


def _version(wanted: bool) -> None:
    if wanted:
        from llamactl.cli.version import version_text

        typer.echo(version_text())
        raise typer.Exit


app = typer.Typer(
    name="llamactl",
    cls=Commands,
    help="Show what passes between Python and llama.cpp.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def llamactl(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show all versions and exit.")
    ] = False,
) -> None:
    """Show what passes between Python and llama.cpp."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(EXIT_USAGE)
