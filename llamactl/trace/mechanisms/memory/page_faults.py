"""Page faults: which memory they brought in, and how many waited for the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.mechanism import OK, Drawn, Mechanism, Verdict
from llamactl.trace.mechanisms.memory.faults import FaultRow, TensorRow
from llamactl.trace.mechanisms.table import MAJOR, MINOR, Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


@dataclass(frozen=True)
class FaultFacts:
    """Page faults by what they touched."""

    faults: list[FaultRow]
    layers: list[TensorRow]
    tensors: list[TensorRow]


_SIZE = Column("length_bytes", "size", blank=True)


class PageFaults(Mechanism[FaultFacts]):
    """Pages that came in when they were touched."""

    name = "faults"
    title = "Page faults"
    explanation = (
        "A page fault brings in a page that was mapped but not there. A major one waits for the disk, a minor"
        " one finds the page in memory."
    )
    facts = FaultFacts
    tables = (
        Table("faults", "Page faults, by role of the mapping", FaultRow,
              (Column("name", "role", width=40), Column("count", "faults"), MINOR, MAJOR)),
        Table("layers", "Page faults in the model, by layer", TensorRow,
              (Column("name", "layer", width=40), Column("count", "faults"), MINOR, MAJOR, _SIZE), limit=100),
        Table("tensors", "Page faults in the model, by tensor", TensorRow,
              (Column("name", "tensor", width=40), Column("count", "faults"), MINOR, MAJOR, _SIZE), limit=1000),
    )  # fmt: skip

    def draw(self, drawn: Drawn) -> FaultFacts:  # noqa: ARG002 - from the second pass
        """Return the faults; empty where none was recorded."""
        faults = self.scene.faults
        if faults is None:
            return FaultFacts([], [], [])
        return FaultFacts(faults.roles(), faults.layers(), faults.tensors())

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict | None:
        """A row where faults were recorded."""
        return OK if report.faults else None
