"""Write the pages that come from the code: docs/cli.md and the picture of a run.

Usage: python docs/generate.py [--check]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
LLAMACTL = str(Path(sys.executable).parent / "llamactl")
SHOWN = ["run", "--seed", "7", "-n", "96", "Explain in two sentences what a system call is."]


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


def picture() -> str:
    """Return an SVG of a real run in a terminal."""
    from io import StringIO

    from rich.console import Console

    result = subprocess.run([LLAMACTL, *SHOWN], capture_output=True, text=True, check=True)
    console = Console(record=True, width=88, file=StringIO())
    command = " ".join(f'"{word}"' if " " in word else word for word in SHOWN)
    console.print(f"$ llamactl {command}", style="bold", highlight=False)
    console.print(result.stdout.rstrip(), highlight=False)
    console.print(result.stderr.rstrip(), style="dim", highlight=False)
    return console.export_svg(title="llamactl")


def main() -> int:
    """Write the pages, or with --check tell whether the reference is as the code says."""
    page = DOCS / "cli.md"
    if "--check" in sys.argv[1:]:
        if page.read_text(encoding="utf-8") == reference():
            return 0
        print("docs/cli.md isn't what the commands say: run `make docs`.", file=sys.stderr)
        return 1
    page.write_text(reference(), encoding="utf-8")
    (DOCS / "images").mkdir(exist_ok=True)
    (DOCS / "images" / "run.svg").write_text(picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
