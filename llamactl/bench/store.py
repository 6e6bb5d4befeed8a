"""Read what was stored: a document of ``--save``, a history in SQLite, or what llama-bench wrote."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from llamactl.bench import llama_bench
from llamactl.bench.plan import BenchTest, Setup
from llamactl.bench.report import BenchReport, Environment, Memory, ModelFacts, Result, Sample
from llamactl.errors import UsageError
from llamactl.json_file import LARGEST_BYTES, parse_json, read_bounded
from llamactl.typed import expect, made

SCHEMA, SCHEMA_VERSION = "llamactl.bench", 1
SHOWN_RUNS = 20
LONGEST_S = 10.0
LIMIT_LENGTH = 0
"""``SQLITE_LIMIT_LENGTH`` of sqlite3.h: most bytes of a value."""
HISTORY = "llamactl_bench"
SQL = b"CREATE TABLE"
ADVICE = "Name a file that --save or llama-bench wrote."
SQLITE_MAGIC = b"SQLite format 3\x00"
RESULT_FIELDS: dict[str, Any] = {
    "test_time": str,
    "samples": list,
    "crossings": dict[str, int] | None,
    "crossings_tokens": int,
    "machine": dict[str, float | None],
    "warnings": list,
}


def load(reference: str) -> BenchReport:
    """Return a stored report.

    Args:
        reference: A file of ours or of llama-bench; ``FILE#N`` is run N of a SQLite history, without it the last.

    Raises:
        UsageError: It can't be read, isn't one of ours, or is of another version of the schema.
    """
    path, number = split_reference(reference)
    if number and not (number.isascii() and number.isdigit() and len(number) < 19):
        raise UsageError(f"{reference!r}: {number!r} isn't the number of a run", "Write FILE#1.")
    if _head(path) == SQLITE_MAGIC:
        if _tables(path) & {llama_bench.TABLE, HISTORY} == {llama_bench.TABLE}:
            return llama_bench.report_of(_rows_of(path, llama_bench.TABLE), path)
        return from_document(_from_history(path, int(number) if number else None), path)
    try:
        data = read_bounded(path)
        rows = llama_bench.rows_of_text(data)
        if rows is not None:
            return llama_bench.report_of(rows, path)
        if data.lstrip().startswith(SQL):
            raise ValueError(f"it is SQL: put it into a database (sqlite3 FILE.sqlite < {path})")
        value = parse_json(data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path!r} can't be read: {reason}", ADVICE) from None
    return from_document(value, path)


def _tables(path: str) -> set[str]:
    return {str(row[0]) for row in _query(path, "SELECT name FROM sqlite_master WHERE type = 'table'", ())}


def _rows_of(path: str, table: str) -> list[dict[str, Any]]:
    """Return the rows of a table, its last results by setup and test: it may hold many runs."""
    sql = f"SELECT * FROM {table} ORDER BY test_time LIMIT {llama_bench.MOST_ROWS}"  # noqa: S608 - ours
    found = _query(path, sql, (), whole=True)
    names = [name for name in llama_bench.IDENTIFYING if found and name in found[0]]
    return list({tuple(row[name] for name in names): row for row in found}.values())


def split_reference(reference: str) -> tuple[str, str]:
    """Return file and number of ``FILE#N``; a file of the whole name comes first, ``#`` and all."""
    if Path(reference).exists():
        return reference, ""
    path, _, number = reference.rpartition("#")
    return (path, number) if path else (reference, "")


def last_two(path: str) -> tuple[BenchReport, BenchReport]:
    """Return the last two runs of a SQLite history, the older first.

    Raises:
        UsageError: It isn't one, or holds fewer than two.
    """
    if _head(path) != SQLITE_MAGIC:
        raise UsageError(
            f"{path!r} isn't a SQLite history", "Give BASE and NEW, or a history of --save FILE.sqlite."
        )
    runs = _runs(path)
    if len(runs) < 2:
        raise UsageError(f"{path!r} holds {len(runs)} run(s)", "Measure again, then compare.")
    return load(f"{path}#{runs[-2]}"), load(f"{path}#{runs[-1]}")


def _head(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise UsageError(f"{path!r} can't be read: {error.strerror}", "Check the path.") from None


def _runs(path: str) -> list[int]:
    """Return the numbers of the last runs, in their order."""
    rows = _query(path, "SELECT run FROM llamactl_bench ORDER BY run DESC LIMIT ?", (SHOWN_RUNS,))
    return [row[0] for row in reversed(rows)]


def _from_history(path: str, number: int | None) -> Any:
    runs = _runs(path)
    wanted = runs[-1] if number is None and runs else number
    rows = _query(path, "SELECT document FROM llamactl_bench WHERE run = ?", (wanted,))
    if not rows:
        raise UsageError(f"{path!r} has no run {number}", f"It holds: {', '.join(map(str, runs)) or 'none'}.")
    try:
        return parse_json(rows[0][0])
    except ValueError as error:
        raise UsageError(f"{path!r}: run {wanted} is damaged: {error}", "Name another run.") from None


def _query(path: str, sql: str, values: tuple[object, ...], *, whole: bool = False) -> list[Any]:
    try:
        with closing(_opened(path)) as connection:
            if not whole:
                return connection.execute(sql, values).fetchmany(SHOWN_RUNS)
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values).fetchmany(llama_bench.MOST_ROWS)]
    except (sqlite3.Error, OverflowError, ValueError) as error:
        # SQLite quotes what it can't decode, all of it.
        reason = str(error).partition("\n")[0][:100]
        raise UsageError(
            f"{path!r} isn't a history of llamactl bench: {reason}", "Name a file of --save."
        ) from None


def _opened(path: str) -> sqlite3.Connection:
    """Open a history so that nothing is made or changed, and no query is without end.

    As a URI alone can it be opened read-only; ``#``, ``?`` and ``%`` are quoted. What the file says of its
    schema may be anybody's: a view could be endless.
    """
    connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
    ends = time.monotonic() + LONGEST_S
    connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    if hasattr(connection, "setlimit"):  # From Python 3.11 on.
        connection.setlimit(LIMIT_LENGTH, LARGEST_BYTES)
    elif Path(path).stat().st_size > 4 * LARGEST_BYTES:
        raise sqlite3.DataError(f"it is larger than {4 * LARGEST_BYTES >> 20} MiB")
    return connection


def from_document(value: Any, source: str) -> BenchReport:
    """Return the report of a JSON document.

    Raises:
        UsageError: It isn't a report, is damaged, or is of another version of the schema.
    """
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise UsageError(
            f"{source!r} isn't a report of llamactl bench", "Name a file that --save FILE.json wrote."
        )
    version = value.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{source!r} has version {version} of the schema, this llamactl reads {SCHEMA_VERSION}",
            "Measure it again.",
        )
    try:
        for name, hint in (("complete", bool), ("planned", list), ("warnings", list), ("results", list)):
            expect(value[name], hint, name)
        return BenchReport(
            environment=made(Environment, value["environment"]),
            models=tuple(made(ModelFacts, one) for one in value["models"]),
            results=tuple(_result(one) for one in value["results"]),
            complete=value["complete"],
            planned=tuple(value["planned"]),
            warnings=tuple(value["warnings"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{source!r} is damaged ({type(error).__name__}: {error})", "Measure it again."
        ) from None


def _result(value: dict[str, Any]) -> Result:
    for name, hint in RESULT_FIELDS.items():
        expect(value[name], hint, name)
    return Result(
        setup=made(Setup, value["setup"]),
        test=made(BenchTest, value["test"]),
        test_time=value["test_time"],
        samples=tuple(_sample(one) for one in value["samples"]),
        crossings=value["crossings"],
        crossings_tokens=value["crossings_tokens"],
        memory=_memory(value["memory"]),
        machine=value["machine"],
        warnings=tuple(value["warnings"]),
    )


def _memory(value: Any) -> Memory | None:
    if value is None:
        return None
    # Reports of before devices' memory was told apart lack them.
    return made(Memory, {"devices": [], **value})


def _sample(value: dict[str, Any]) -> Sample:
    # Reports of before workers were told apart lack them.
    sample = made(Sample, {"workers": {}, **value})
    if sample.ns <= 0:
        raise ValueError(f"a time of {sample.ns!r} ns")
    return sample
