"""The formats of a trace's report: a new one is a function and a line in ``FORMATS``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from llamactl.errors import UsageError
from llamactl.render.trace.csv import report_csv
from llamactl.render.trace.json import report_json
from llamactl.render.trace.markdown import report_markdown
from llamactl.render.trace.report import report_text
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.table import Table

Format = Callable[[TraceReport, Sequence[Table]], str]

FORMATS: dict[str, Format] = {
    "table": report_text,
    "json": lambda report, tables: report_json(report),  # noqa: ARG005 - JSON has all tables
    "csv": report_csv,
    "markdown": report_markdown,
}

_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".markdown": "markdown"}


def format_of(name: str | None, path: Path | None) -> str:
    """Return the format: the one asked for, else by the file's suffix, else ``table``.

    Raises:
        UsageError: There is no such format.
    """
    if name is None:
        return _SUFFIXES.get(path.suffix.lower(), "table") if path else "table"
    if name not in FORMATS:
        raise UsageError(f"--format {name} isn't known", f"Formats: {', '.join(FORMATS)}.")
    return name
