"""The tables of a trace, from their declarations: how they look, and which is meant."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, get_args, get_type_hints

from llamactl.errors import UsageError
from llamactl.render.trace.cells import figure_text
from llamactl.render.trace.text import shortened
from llamactl.trace.mechanisms.registry import MECHANISMS
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.table import Column, Table

_WIDTH = 80
_GAP = "  "
_LEAST_NAME = 10
_NAME = 40


def tables() -> list[Table]:
    """Return all tables, in the order of the mechanisms."""
    return [table for mechanism in MECHANISMS for table in mechanism.tables]


def chosen_tables(names: str) -> list[Table]:
    """Return the tables that a list such as ``calls,files`` names; ``all`` for all, empty for none.

    Raises:
        UsageError: There is no table of that name.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if "all" in wanted:
        return tables()
    by_name = {table.name: table for table in tables()}
    for name in wanted:
        if name not in by_name:
            raise UsageError(f"--show {name}: there is no such table", f"Tables: {', '.join(by_name)}, all.")
    return [by_name[name] for name in wanted]


def rows_of(report: TraceReport, table: Table) -> list[Any]:
    """Return the rows of the report that a table shows."""
    owner = next(mechanism for mechanism in MECHANISMS if table in mechanism.tables)
    rows: list[Any] = getattr(report.of(owner.facts), table.name)
    return rows


def table_text(report: TraceReport, table: Table) -> str:
    """Return a table of at most 80 columns; columns without any content are left out."""
    rows = rows_of(report, table)
    if not rows:
        return f"{table.title}: nothing recorded\n"
    shown = rows[: table.limit]
    columns, lines = _with_content(table, shown)
    more = f"(+{len(rows) - len(shown)} more; --format json has them all)\n" if len(rows) > len(shown) else ""
    return f"{table.title}\n{_aligned(table, columns, lines)}\n{more}"


def cell(table: Table, column: Column, row: Any) -> str:
    """Return what a row has in a column; nothing where zero isn't worth a word."""
    value = getattr(row, column.field)
    special = _SPECIAL.get((table.name, column.field))
    text = special(row) if special else None
    if text is None:
        if column.blank and not value:
            return ""
        text = (
            figure_text(column.field, value)
            if value is not None or not _is_text(table.row, column.field)
            else ""
        )
    width = column.width or (_NAME if column.field == "name" else 0)
    indent = "  " * getattr(row, "depth", 0) if column.field == "name" else ""
    return indent + (shortened(text, width) if width else text)


def _read_of_file(row: Any) -> str | None:
    return "not seen" if row.unseen and not row.read_bytes and not row.mapped_bytes else None


_SPECIAL: dict[tuple[str, str], Callable[[Any], str | None]] = {
    ("files", "read_bytes"): _read_of_file,
    ("work", "name"): lambda row: "outside of them" if row.name is None else None,
}
"""Cells that say something other than their figure; None for the figure."""


def _is_text(row: Any, field: str) -> bool:
    """Whether a column holds text, which stands left; numbers stand right."""
    return _holds_text(row, field)


@cache
def _holds_text(row: Any, field: str) -> bool:
    hint = get_type_hints(row).get(field)
    if hint is None:
        hint = get_type_hints(getattr(row, field).fget)["return"]
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return kinds[0] not in {int, float} and getattr(kinds[0], "__name__", "") != "Bounds"


def _with_content(table: Table, rows: list[Any]) -> tuple[list[Column], list[list[str]]]:
    """Return the columns with any content, and the cells of the rows."""
    columns = table.columns
    cells = [[cell(table, column, row) for column in columns] for row in rows]
    used = [index for index in range(len(columns)) if not cells or any(line[index] for line in cells)]
    return [columns[index] for index in used], [[line[index] for index in used] for line in cells]


def _aligned(table: Table, columns: list[Column], lines: list[list[str]]) -> str:
    """Align the cells; when they need more than 80 columns, the names in the first one give way."""
    every = [[column.title for column in columns], *lines]
    widths = [max(len(line[index]) for line in every) for index in range(len(columns))]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - _WIDTH
    if excess > 0:
        widths[0] = max(widths[0] - excess, _LEAST_NAME)
        every = [[shortened(line[0], widths[0]), *line[1:]] for line in every]
    left = [_is_text(table.row, column.field) for column in columns]
    aligned = (
        _GAP.join(
            text.ljust(width) if stands_left else text.rjust(width)
            for text, width, stands_left in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in every
    )
    return "\n".join(aligned)


def table_markdown(report: TraceReport, table: Table) -> str:
    """Return a table in Markdown; columns without any content are left out."""
    from tabulate import tabulate

    columns, lines = _with_content(table, rows_of(report, table)[: table.limit])
    cells = [[text.replace("|", "\\|") for text in line] for line in lines]
    text = tabulate(
        cells,
        [column.title for column in columns],
        tablefmt="pipe",
        colalign=["left" if _is_text(table.row, column.field) else "right" for column in columns]
        if cells
        else None,
        disable_numparse=True,
    )
    return f"### {table.title}\n\n{text}\n"
