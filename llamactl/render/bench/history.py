"""A history in SQLite: llama-bench's table for its tools, and each run's whole document beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from llamactl.bench.report import BenchReport
from llamactl.errors import LlamactlError, UsageError
from llamactl.output.file import append_text
from llamactl.output.place import find_place
from llamactl.render.bench.files import CREATE, json_document, llama_bench_rows
from llamactl.render.bench.row import COLUMNS

MAGIC = b"SQLite format 3\x00"
RUNS = "CREATE TABLE IF NOT EXISTS llamactl_bench (run INTEGER PRIMARY KEY, test_time TEXT, document TEXT);"


class History:
    """One run in a history. Saving again replaces it: the report grows test by test."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run: int | None = None
        self._rows: list[int] = []

    def check(self) -> None:
        """Raise :class:`UsageError` if there is another kind of file already."""
        try:
            place = find_place(self._path)
            if not place.is_file:
                raise UsageError(f"--save {str(self._path)!r} isn't a regular file", "Name a new file.")
            if place.before is None:
                return
            with place.path.open("rb") as file:
                head = file.read(len(MAGIC))
        except OSError as error:
            raise UsageError(
                f"--save {str(self._path)!r} can't be read: {error.strerror}", "Check the path."
            ) from None
        if head and head != MAGIC:
            raise UsageError(f"--save {str(self._path)!r} isn't a SQLite history", "Name a new file.")

    def save(self, report: BenchReport) -> None:
        """Write the report so far.

        Raises:
            LlamactlError: The file can't be written.
        """
        try:
            with closing(sqlite3.connect(self._made())) as connection, connection:
                self._write(connection, report)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            reason = str(error).partition("\n")[0][:100]
            raise LlamactlError(
                f"--save {str(self._path)!r}: {reason}", "Free space, or name another file."
            ) from None

    def _made(self) -> Path:
        """Return the file itself, made for its owner alone if there is none."""
        self.check()
        append_text(self._path, "")
        return find_place(self._path).path

    def _write(self, connection: sqlite3.Connection, report: BenchReport) -> None:
        connection.execute(CREATE)
        connection.execute(RUNS)
        when = report.results[0].test_time if report.results else None
        cursor = connection.execute(
            "INSERT OR REPLACE INTO llamactl_bench VALUES (?, ?, ?)", (self._run, when, json_document(report))
        )
        self._run = cursor.lastrowid
        connection.executemany("DELETE FROM llama_bench WHERE rowid = ?", [(one,) for one in self._rows])
        marks = ", ".join("?" * len(COLUMNS))
        # Names of columns are ours; values go in as parameters.
        insert = f"INSERT INTO llama_bench ({', '.join(COLUMNS)}) VALUES ({marks})"  # noqa: S608
        self._rows = [
            connection.execute(insert, tuple(row.values())).lastrowid or 0 for row in llama_bench_rows(report)
        ]
