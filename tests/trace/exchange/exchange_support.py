"""Trace a real program, and read what the report says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import clean_environment

from llamactl.trace.record.agent.library import find_agent

PROGRAMS = Path(__file__).parents[2] / "programs"
LIMIT_S = 240
OWN_MODULES = ("env", "-u", "PYTHONPATH")
"""Before a program that has modules of its own: ours aren't for it."""


@dataclass(frozen=True)
class Traced:
    """A traced program.

    Attributes:
        out: What it printed.
        report: The report as people see it.
        json: The same as JSON.
    """

    out: str
    report: str
    json: dict[str, Any]

    def functions(self) -> dict[str, dict[str, Any]]:
        """Return the rows of functions by name."""
        return {row["name"]: row for row in self.json["functions"]}

    def findings(self) -> dict[str, dict[str, Any]]:
        """Return the findings by name."""
        return {row["code"]: row for row in self.json["findings"]}

    def mechanism(self, name: str) -> dict[str, Any]:
        """Return one row of the report."""
        return next(row for row in self.json["mechanisms"] if row["name"] == name)


Trace = Callable[..., Traced]


def environment() -> dict[str, str]:
    """Return the environment in which llama-cpp-python takes llamactl's engine."""
    return clean_environment(LLAMA_CPP_LIB_PATH=str(find_agent().parent))


def plain(*command: str) -> str:
    """Run a program without tracing and return what it printed."""
    return subprocess.run(
        [*OWN_MODULES, *command],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    ).stdout


def traced(place: Path, *command: str, options: tuple[str, ...] = ("--engine", "ptrace")) -> Traced:
    """Trace a command with ``llamactl trace``."""
    capture, report = place / "a.capture", place / "a.json"
    llamactl = [sys.executable, "-m", "llamactl", "trace"]
    done = subprocess.run(
        [*llamactl, "-o", str(capture), *options, "--", *OWN_MODULES, *command],
        env=environment(), capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = [*llamactl, "--from", str(capture), "--report", str(report)]
    subprocess.run(again, env=environment(), check=True, timeout=LIMIT_S)
    capture.unlink()
    return Traced(done.stdout, done.stderr, json.loads(report.read_text(encoding="utf-8")))
