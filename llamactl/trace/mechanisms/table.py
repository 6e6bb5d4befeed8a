"""Tables are declared once: what a row is, and which of its figures a person gets to see.

The names of a row's fields bear their units (``read_bytes``, ``total_ns``), so that how a cell reads and which title it
has follow from them. JSON, CSV, SQLite, Markdown, the schema, ``--show`` and its help are drawn from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any


class Unit(Enum):
    """What a figure is counted in, as the end of its name says."""

    NS = "ns"
    US = "us"
    S = "s"
    BYTES = "bytes"
    SHARE = "share"
    NONE = ""


_NUMBERS = ("pid", "tid", "exit_code")
"""Figures that name something instead of counting it."""


def unit_of(name: str) -> Unit:
    """Return the unit of a field."""
    end = name.rpartition("_")[2]
    return next((unit for unit in Unit if unit.value and unit.value == end), Unit.NONE)


def is_number(name: str) -> bool:
    """Return whether a figure names something, such as a process: it isn't added up or cut into thousands."""
    return name.endswith(_NUMBERS)


def words_of(name: str) -> str:
    """Return what a field is called among people: its name without the unit."""
    unit = unit_of(name).value
    plain = name.removesuffix(f"_{unit}") if unit else name
    return plain.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        field: The field of the row, or a property.
        heading: What stands above it; None for the field's own words.
        blank: Zero isn't worth a cell.
        width: Most characters of a text; 0 for no bound.
    """

    field: str
    heading: str | None = None
    blank: bool = False
    width: int = 0

    @property
    def title(self) -> str:
        """What stands above the column."""
        return words_of(self.field) if self.heading is None else self.heading


@dataclass(frozen=True, slots=True)
class Table:
    """One table: a list among the facts of a mechanism.

    Attributes:
        name: The field of the facts, and the table's name in every output.
        title: What stands above it.
        row: The dataclass of its rows; each has ``name`` and ``count``.
        shown: The columns that people see; empty for one of each field.
        limit: Rows that people see; files and JSON have them all.
    """

    name: str
    title: str
    row: type[Any]
    shown: tuple[Column, ...] = ()
    limit: int = 40

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that people see."""
        return self.shown or tuple(Column(item.name) for item in fields(self.row))


MINOR = Column("minor_faults", "minor", blank=True)
MAJOR = Column("major_faults", "major", blank=True)
UNFINISHED = Column("unfinished", blank=True)
ERRORS = Column("errors", blank=True)
