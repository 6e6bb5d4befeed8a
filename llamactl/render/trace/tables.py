"""The summaries of a trace as tables: which columns each has, and how a cell reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from llamactl.errors import UsageError
from llamactl.render.safe import safe_text
from llamactl.render.trace.text import bounds_text, byte_text, count_text, shortened, time_text
from llamactl.trace.mechanisms.report import TraceReport

_WIDTH = 80
_GAP = "  "
_LEAST_NAME = 10

Cell = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``left`` aligns text, numbers stand right."""

    title: str
    cell: Cell
    left: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One summary: the attribute of the report it shows, and how."""

    name: str
    title: str
    columns: tuple[Column, ...]
    limit: int = 40
    """Rows that a person gets to see; files and JSON have them all."""


def _name(width: int) -> Cell:
    def cell(row: Any) -> str:
        name = row.name.decode("utf-8", "backslashreplace") if isinstance(row.name, bytes) else row.name
        return shortened(safe_text(name), width)

    return cell


def _count(attribute: str) -> Cell:
    return lambda row: count_text(getattr(row, attribute))


def _bytes(attribute: str) -> Cell:
    return lambda row: "" if getattr(row, attribute) in {0, None} else byte_text(getattr(row, attribute))


def _known_bytes(attribute: str) -> Cell:
    return lambda row: byte_text(getattr(row, attribute))


def _bounds(attribute: str) -> Cell:
    return lambda row: bounds_text(getattr(row, attribute))


def _ns(attribute: str) -> Cell:
    return lambda row: time_text(getattr(row, attribute))


def _seconds(attribute: str) -> Cell:
    return lambda row: "" if getattr(row, attribute) is None else f"{getattr(row, attribute):.3f}"


def _plain(attribute: str) -> Cell:
    return lambda row: "" if getattr(row, attribute) is None else safe_text(str(getattr(row, attribute)))


def _nonzero(attribute: str) -> Cell:
    return lambda row: "" if not getattr(row, attribute) else count_text(getattr(row, attribute))


def _read_of_file(row: Any) -> str:
    if row.unseen and not row.read_bytes and not row.mapped_bytes:
        return "not seen"
    return _bytes("read_bytes")(row)


def _within(row: Any) -> str:
    return "outside of them" if row.name is None else shortened(safe_text(row.name), 34)


def _called_at(row: Any) -> str:
    """Return file and line of the busiest place, short enough to stand beside the figures.

    That is the program's own line where the call went through an installed package; JSON has both.
    """
    if not row.places:
        return ""
    file, line, _ = (*row.callers, *row.places)[0]
    return shortened(f"{safe_text(PurePath(file).name)}:{line}", 20)


_FAULTS = (Column("minor", _nonzero("minor_faults")), Column("major", _nonzero("major_faults")))

TABLES = (
    Table("phases", "By phase", (
        Column("phase", _name(10), left=True), Column("times", _nonzero("intervals")),
        Column("wall s", _seconds("wall_s")), Column("unfinished", _nonzero("unfinished")),
        Column("calls", _count("count")),
        Column("errors", _nonzero("errors")),
        Column("in calls", _ns("total_ns")), Column("read", _bytes("read_bytes")),
        *_FAULTS,
    )),
    Table("calls", "By call", (
        Column("call", _name(22), left=True), Column("count", _count("count")),
        Column("errors", _nonzero("errors")),
        Column("unfinished", _nonzero("unfinished")), Column("total", _ns("total_ns")),
        Column("mean", _ns("mean_ns")), Column("max", _ns("max_ns")), Column("bytes", _bytes("bytes")),
    )),
    Table("functions", "By function of llama.cpp", (
        Column("function", _name(30), left=True), Column("count", _count("count")),
        Column("unfinished", _nonzero("unfinished")), Column("total", _ns("total_ns")),
        Column("mean", _ns("mean_ns")), Column("max", _ns("max_ns")), Column("GIL held", _nonzero("gil_held")),
        Column("called at", _called_at, left=True),
    )),
    Table("work", "What Linux did, by the call into llama.cpp it belongs to", (
        Column("function", _within, left=True), Column("system calls", _count("count")),
        Column("in calls", _ns("system_ns")), *_FAULTS,
    )),
    Table("buffers", "Buffers that llama.cpp hands out and takes in", (
        Column("function", _name(26), left=True), Column("", _plain("direction"), left=True),
        Column("what", _plain("what"), left=True), Column("count", _count("count")),
        Column("largest", _bytes("largest_bytes")), Column("places", _count("places")),
        Column("memory", lambda row: shortened(", ".join(row.memory), 20), left=True),
    )),
    Table("files", "By file", (
        Column("file", _name(38), left=True), Column("calls", _count("count")),
        Column("opens", _nonzero("opens")), Column("unfinished", _nonzero("unfinished")),
        Column("read", _read_of_file), Column("written", _bytes("written_bytes")),
        Column("mapped", _bytes("mapped_bytes")), Column("time", _ns("total_ns")),
    )),
    Table("workers", "By worker (llama.cpp's RPC)", (
        Column("worker", _name(30), left=True), Column("calls", _count("count")),
        Column("sent", _bytes("sent_bytes")), Column("received", _bytes("received_bytes")),
        Column("round trips", _count("round_trips")), Column("waiting", _ns("waited_ns")),
    )),
    Table("mappings", "By mapping", (
        Column("mapping", _name(26), left=True), Column("role", _plain("role"), left=True),
        Column("size", _bytes("length_bytes")), Column("prot", _plain("protection"), left=True),
        Column("at s", _seconds("begin_s")), Column("life s", _seconds("life_s")), *_FAULTS,
    )),
    Table("threads", "By thread", (
        Column("thread", _name(16), left=True), Column("role", _plain("role"), left=True),
        Column("tid", _plain("tid")),
        Column("from s", _seconds("begin_s")), Column("to s", _seconds("end_s")),
        Column("calls", _count("count")), Column("unfinished", _nonzero("unfinished")),
        Column("in calls", _ns("calls_ns")), Column("blocked", _ns("blocked_ns")),
    )),
    Table("processes", "Processes", (
        Column("process", lambda row: "  " * row.depth + _name(30)(row), left=True),
        Column("pid", _plain("pid")),
        Column("calls", _count("count")), Column("threads", _count("threads")),
        Column("from s", _seconds("begin_s")),
        Column("to s", _seconds("end_s")), Column("from disk", _known_bytes("from_disk_bytes")),
        Column("memory", _known_bytes("largest_rss_bytes")), Column("end", _plain("end"), left=True),
    )),
    Table("endings", "How processes ended", (
        Column("process", _name(20), left=True), Column("pid", _plain("pid")), Column("at s", _seconds("at_s")),
        Column("signal", _plain("signal"), left=True), Column("status", _plain("exit_code")),
        Column("cause", lambda row: row.cause.value, left=True), Column("sender", _plain("sender_pid")),
        Column("in", lambda row: shortened(safe_text(row.call or ""), 20), left=True),
    )),
    Table("futexes", "Futex, by what is waited for", (
        Column("waited for", _name(20), left=True), Column("calls", _count("count")),
        Column("waits", _count("waits")), Column("unfinished", _nonzero("unfinished")),
        Column("waited", _ns("waited_ns")), Column("words", _count("words")),
        Column("threads", _count("threads")),
    )),
    Table("requests", "Requests: what their prompts computed and took from the cache", (
        Column("request", _name(14), left=True), Column("pid", _plain("pid")), Column("at s", _seconds("begin_s")),
        Column("prompt s", _seconds("prompt_s")), Column("computed", _count("computed_tokens")),
        Column("reused", _count("reused_tokens")), Column("thrown out", _count("dropped_tokens")),
        Column("tokens", _count("count")),
    )),
    Table("cpu", "CPU time, and waits of threads that were ready to run", (
        Column("phase", _name(10), left=True), Column("count", _count("count")),
        Column("threads", _nonzero("threads")), Column("wall", _ns("wall_ns")), Column("computed", _ns("ran_ns")),
        Column("waited", _ns("waited_ns")), Column("held up", _ns("held_up_ns")),
        Column("throttled", _ns("throttled_ns")),
    )),
    Table("faults", "Page faults, by role of the mapping",
          (Column("role", _name(40), left=True), Column("faults", _count("count")), *_FAULTS)),
    Table("layers", "Page faults in the model, by layer", (
        Column("layer", _name(40), left=True), Column("faults", _count("count")), *_FAULTS,
        Column("size", _bytes("length_bytes")),
    ), limit=100),
    Table("tensors", "Page faults in the model, by tensor", (
        Column("tensor", _name(40), left=True), Column("faults", _count("count")), *_FAULTS,
        Column("size", _bytes("length_bytes")),
    ), limit=1000),
    Table("load", "How models were loaded", (
        Column("model", _name(34), left=True), Column("mode", _plain("mode"), left=True),
        Column("mapped", _bytes("mapped_bytes")), Column("read", _bytes("read_bytes")),
        Column("read s", _seconds("read_s")), *_FAULTS,
    )),
    Table("disk", "Bytes from the disk and from the page cache", (
        Column("part", _name(10), left=True), Column("from disk", _bounds("disk")),
        Column("from page cache", _bounds("cache")), Column("read()", _bytes("read_bytes")),
        Column("mapped in", _bounds("mapped")),
    )),
    Table("counters", "Counters", (
        Column("counter", _name(24), left=True), Column("pid", _plain("pid")), Column("samples", _count("count")),
        Column("first", _count("first")),
        Column("last", _count("last")), Column("largest", _count("largest")),
    )),
)  # fmt: skip

TABLE_NAMES = tuple(table.name for table in TABLES)


def chosen_tables(names: str) -> list[Table]:
    """Return the tables that a list such as ``calls,files`` names; ``all`` for all, empty for none.

    Raises:
        UsageError: There is no table of that name.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if "all" in wanted:
        return list(TABLES)
    by_name = {table.name: table for table in TABLES}
    for name in wanted:
        if name not in by_name:
            raise UsageError(
                f"--show {name}: there is no such table", f"Tables: {', '.join(TABLE_NAMES)}, all."
            )
    return [by_name[name] for name in wanted]


def rows_of(report: TraceReport, table: Table) -> list[Any]:
    """Return the rows of the report that a table shows."""
    rows: list[Any] = getattr(report, table.name)
    return rows


def table_text(report: TraceReport, table: Table) -> str:
    """Return a table of at most 80 columns; columns without any content are left out."""
    rows = rows_of(report, table)
    if not rows:
        return f"{table.title}: nothing recorded\n"
    shown = rows[: table.limit]
    columns, lines = _with_content(table.columns, shown)
    more = f"(+{len(rows) - len(shown)} more; --format json has them all)\n" if len(rows) > len(shown) else ""
    return f"{table.title}\n{_aligned(columns, lines)}\n{more}"


def _with_content(columns: tuple[Column, ...], rows: list[Any]) -> tuple[list[Column], list[list[str]]]:
    """Return the columns with any content, and the cells of the rows."""
    cells = [[column.cell(row) for column in columns] for row in rows]
    used = [index for index in range(len(columns)) if not cells or any(line[index] for line in cells)]
    return [columns[index] for index in used], [[line[index] for index in used] for line in cells]


def _aligned(columns: list[Column], lines: list[list[str]]) -> str:
    """Align the cells; when they need more than 80 columns, the names in the first one give way."""
    every = [[column.title for column in columns], *lines]
    widths = [max(len(line[index]) for line in every) for index in range(len(columns))]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - _WIDTH
    if excess > 0:
        widths[0] = max(widths[0] - excess, _LEAST_NAME)
        every = [[shortened(line[0], widths[0]), *line[1:]] for line in every]
    aligned = (
        _GAP.join(
            cell.ljust(width) if column.left else cell.rjust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ).rstrip()
        for line in every
    )
    return "\n".join(aligned)


def table_markdown(report: TraceReport, table: Table) -> str:
    """Return a table in Markdown; columns without any content are left out."""
    from tabulate import tabulate

    columns, lines = _with_content(table.columns, rows_of(report, table)[: table.limit])
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    text = tabulate(
        cells,
        [column.title for column in columns],
        tablefmt="pipe",
        colalign=["left" if column.left else "right" for column in columns] if cells else None,
        disable_numparse=True,
    )
    return f"### {table.title}\n\n{text}\n"
