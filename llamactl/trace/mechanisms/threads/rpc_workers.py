"""llama.cpp's RPC workers: what passed between them and the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.mechanism import OK, Drawn, Mechanism, Verdict
from llamactl.trace.mechanisms.table import Column, Table
from llamactl.trace.mechanisms.threads.workers import WorkerRow, WorkerTable

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class WorkerFacts:
    """The workers."""

    workers: list[WorkerRow]


class Workers(Mechanism[WorkerFacts]):
    """Computing on other machines."""

    name = "workers"
    title = "Workers"
    explanation = (
        "A worker computes layers of the model on another machine. Each token goes there and back; each round"
        " trip waits for the network and for the worker."
    )
    facts = WorkerFacts
    tables = (
        Table("workers", "By worker (llama.cpp's RPC)", WorkerRow, (
            Column("name", "worker", width=30), Column("count", "calls"), Column("sent_bytes", blank=True),
            Column("received_bytes", blank=True), Column("round_trips"), Column("waited_ns", "waiting"),
        )),
    )  # fmt: skip

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._workers = WorkerTable(scene.names)

    def add(self, piece: Piece) -> None:
        """Add up what went to workers and came back."""
        self._workers.add(piece.view, piece.names)

    def draw(self, drawn: Drawn) -> WorkerFacts:  # noqa: ARG002 - from the calls
        """Return the workers."""
        return WorkerFacts(self._workers.rows(self.scene.exchange))

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict | None:
        """A row for programs with workers."""
        return OK if report.workers else None
