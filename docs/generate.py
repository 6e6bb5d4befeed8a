"""Write what comes from the code: docs/cli.md, the picture of a run, and the schema of a trace's report.

Usage: python docs/generate.py [--check]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SCHEMA = DOCS.parent / "llamactl" / "render" / "schemas" / "trace.schema.json"
LLAMACTL = str(Path(sys.executable).parent / "llamactl")


def help_of(*command: str) -> str:
    """Return the help text of a command, 100 columns wide."""
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    result = subprocess.run(
        [LLAMACTL, *command, "--help"], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout.rstrip()


def commands() -> list[str]:
    """Return the names of all commands, in the order of the help."""
    from llamactl.cli.app import COMMANDS

    return list(COMMANDS)


def reference() -> str:
    """Return the page of all options."""
    parts = ["# All options", "Written by `make docs` from the commands' own help.", "## llamactl"]
    parts.append(f"```text\n{help_of()}\n```")
    for name in commands():
        parts += [f"## llamactl {name}", f"```text\n{help_of(name)}\n```"]
    return "\n\n".join(parts) + "\n"


def recorded() -> tuple[str, list[str]]:
    """Return the command that README.md shows first, and its recording: the same figures everywhere."""
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    block = text[text.index("$ llamactl run ") :].partition("\n```")[0]
    command, *lines = block.split("\n")
    return command, lines


def picture() -> str:
    """Return an SVG of that run in a terminal."""
    from io import StringIO

    from rich.console import Console

    command, lines = recorded()
    console = Console(record=True, width=88, file=StringIO())
    console.print(command, style="bold", highlight=False)
    for line in lines[:-1]:
        console.print(line, highlight=False)
    console.print(lines[-1], style="dim", highlight=False)
    return console.export_svg(title="llamactl", unique_id="run")


def schema() -> str:
    """Return the schema of a trace's JSON, made from the facts of its mechanisms."""
    from llamactl.render.trace.schema import trace_schema

    return json.dumps(trace_schema(), indent=1, ensure_ascii=False) + "\n"


def installed_schema() -> Path:
    """Return where the installed copy has it."""
    import llamactl

    return Path(llamactl.__file__).parent / "render" / "schemas" / SCHEMA.name


def check(made: dict[Path, Callable[[], str]]) -> int:
    """Say which files aren't what they are made from; return 1 if there are any."""
    stale = [path for path, make in made.items() if path.read_text(encoding="utf-8") != make()]
    for path in stale:
        print(f"{path.name} isn't what it is made from: run `make docs`.", file=sys.stderr)
    return 1 if stale else 0


def main() -> int:
    """Write the pages, or with --check tell whether they are as the code and README.md say."""
    if set(sys.argv[1:]) - {"--check"}:
        print(__doc__, file=sys.stderr)
        return 2
    page, picture_file = DOCS / "cli.md", DOCS / "images" / "run.svg"
    if "--check" in sys.argv[1:]:
        return check({SCHEMA: schema, page: reference, picture_file: picture})
    for place in (SCHEMA, installed_schema()):  # First: the help takes the tables' names from it.
        place.write_text(schema(), encoding="utf-8")
    page.write_text(reference(), encoding="utf-8")
    picture_file.parent.mkdir(exist_ok=True)
    picture_file.write_text(picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
