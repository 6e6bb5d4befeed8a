"""A capture as an SQLite database, for people who want SQL."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import is_dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, cast, get_args, get_origin, get_type_hints

from llamactl.errors import LlamactlError
from llamactl.render.document import shown_fields
from llamactl.render.trace.json import report_object
from llamactl.render.trace.jsonl import event_object
from llamactl.trace.mechanisms.events import Event
from llamactl.trace.mechanisms.registry import MECHANISMS
from llamactl.trace.mechanisms.report import TraceReport

_EVENTS = """
CREATE TABLE events (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, start_ns INTEGER NOT NULL,
  duration_ns INTEGER, unfinished INTEGER NOT NULL, pid INTEGER NOT NULL, tid INTEGER NOT NULL, phase TEXT,
  path TEXT, result INTEGER, error TEXT, facts TEXT NOT NULL  -- a JSON object
) STRICT
"""
_BATCH = 10000


def write_sqlite(
    sink: IO[bytes], events: Iterable[Event], report: TraceReport, folder: Path | None = None
) -> None:
    """Write a database with a table of events and all that the report says.

    SQLite needs a file with a name. It is made in a directory that only we can enter, and is without a
    name again as soon as SQLite has opened it.

    Args:
        sink: Where the bytes go; anything that can be written to.
        events: In the order of time.
        report: Everything in its JSON document: summaries, verdicts, findings and slow tokens as tables of
            the same names, single facts in the table ``facts``.
        folder: Where the file is made: where the result will lie, there is room. None: where temporary
            files go.

    Raises:
        LlamactlError: The file can't be written.
    """
    try:
        with _nameless(folder) as (database, file):
            _write_events(database, events)
            _write_document(database, report_object(report))
            _write_metadata(database, report)
            database.commit()
            shutil.copyfileobj(file, sink, 1 << 20)
    except sqlite3.Error as error:
        raise LlamactlError(
            f"can't write the database: {error}", "Free space, or write elsewhere."
        ) from error


@contextmanager
def _nameless(folder: Path | None) -> Iterator[tuple[sqlite3.Connection, BinaryIO]]:
    """Yield an empty database and its file, which nothing is left of, however this process ends."""
    with ExitStack() as stack:
        with tempfile.TemporaryDirectory(prefix=".llamactl-", dir=_writable(folder)) as room:
            path = Path(room, "trace.sqlite")
            database = stack.enter_context(closing(sqlite3.connect(path)))
            database.execute("PRAGMA journal_mode=OFF")
            database.execute("PRAGMA synchronous=OFF")
            database.execute(_EVENTS)
            file = stack.enter_context(path.open("rb"))
        yield database, file


def _writable(folder: Path | None) -> Path | None:
    return folder if folder is not None and os.access(folder, os.W_OK | os.X_OK) else None


def _write_events(database: sqlite3.Connection, events: Iterable[Event]) -> None:
    rows = map(_event_row, events)
    while batch := list(islice(rows, _BATCH)):
        marks = ", ".join("?" * len(batch[0]))
        columns = "kind, name, start_ns, duration_ns, unfinished, pid, tid, phase, path, result, error, facts"
        database.executemany(f"INSERT INTO events ({columns}) VALUES ({marks})", batch)  # noqa: S608
    database.execute("CREATE INDEX events_by_name ON events (name)")


def _event_row(event: Event) -> tuple[Any, ...]:
    item = event_object(event)
    known = [
        item.pop(key)
        for key in ("kind", "name", "start_ns", "duration_ns", "unfinished", "pid", "tid", "phase")
    ]
    path, result, error = item.pop("path", None), item.pop("result", None), item.pop("error", None)
    if isinstance(result, dict):
        result = result.get("fd")
    if not isinstance(result, int):
        result = None
    facts = item.pop("args", item)
    return (*known, path, _signed64(result), error, json.dumps(facts, ensure_ascii=False))


def _signed64(value: int | None) -> int | None:
    """SQLite has no unsigned numbers of 64 bits."""
    return value - (1 << 64) if value is not None and value >> 63 and value > 0 else value


def _write_document(database: sqlite3.Connection, document: dict[str, Any]) -> None:
    """Write the whole report: each list of facts as a table, the rest as facts."""
    database.execute("CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT)")  # JSON texts
    tables = _columns()
    for key, value in document.items():
        if key == "metadata":
            continue
        columns = tables.get(key)
        if columns is None:
            database.execute("INSERT INTO facts VALUES (?, ?)", (key, json.dumps(value)))
        else:
            _write_rows(database, key, columns, value)


def _columns() -> dict[str, tuple[str, ...]]:
    """Return the fields of every list of objects in the document: they are tables."""
    found: dict[str, tuple[str, ...]] = {"mechanisms": ("name",), "findings": ("code",)}
    for mechanism in MECHANISMS:
        hints = get_type_hints(mechanism.facts)
        for name in shown_fields(mechanism.facts):
            item = _of_list(hints[name])
            if item is not None:
                found[name] = shown_fields(item)
    return found


def _of_list(hint: Any) -> type[Any] | None:
    """Return the dataclass that a list is of; None for anything else, also for what may be missing."""
    inside = get_args(hint)
    if get_origin(hint) is not list or not is_dataclass(inside[0]):
        return None
    return cast("type[Any]", inside[0])


def _write_rows(
    database: sqlite3.Connection, table: str, known: Sequence[str], rows: list[dict[str, Any]]
) -> None:
    columns = list(dict.fromkeys([*known, *(rows[0] if rows else ())]))
    quoted = ", ".join(f'"{column}"' for column in columns)
    database.execute(f"CREATE TABLE {table} ({quoted})")
    marks = ", ".join("?" * len(columns))
    cells = (tuple(_cell(row.get(column)) for column in columns) for row in rows)
    database.executemany(f"INSERT INTO {table} VALUES ({marks})", cells)  # noqa: S608


def _cell(value: Any) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value)
    return _signed64(value) if isinstance(value, int) else value


def _write_metadata(database: sqlite3.Connection, report: TraceReport) -> None:
    database.execute("CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT)")
    rows = [(key, json.dumps(value)) for key, value in report.metadata.items()]
    rows.append(("begin_ns", str(report.begin_ns)))
    database.executemany("INSERT OR REPLACE INTO metadata VALUES (?, ?)", rows)
