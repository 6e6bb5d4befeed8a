"""One table of the report as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from llamactl.errors import UsageError
from llamactl.render.document import plain, shown_fields
from llamactl.render.trace.tables import chosen_tables, rows_of
from llamactl.trace.mechanisms.report import TraceReport
from llamactl.trace.mechanisms.table import Table


def report_csv(report: TraceReport, tables: Sequence[Table]) -> str:
    """Return one table, its first column ``name``; the calls unless another is chosen.

    Raises:
        UsageError: More than one table is chosen; a CSV file has one.
    """
    if len(tables) > 1:
        raise UsageError("--format csv shows one table", "Choose one with --show, or take --format json.")
    table = tables[0] if tables else chosen_tables("calls")[0]
    rows = rows_of(report, table)
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, shown_fields(table.row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_cells(plain(row)) for row in rows)
    return out.getvalue()


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """Join lists, so that a cell stays one value."""
    return {
        key: json.dumps(value) if isinstance(value, (list, dict)) else value for key, value in row.items()
    }
