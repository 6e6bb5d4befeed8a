"""Processes: who was there, how each ended, what was left running."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.end.endings import Ending, Evidence, endings
from llamactl.trace.mechanisms.end.left_running import LeftRunning, left_running
from llamactl.trace.mechanisms.end.processes import ProcessRow
from llamactl.trace.mechanisms.end.sent_signals import SignalTable
from llamactl.trace.mechanisms.findings import processes
from llamactl.trace.mechanisms.mapping.mapping_index import MappingIndex
from llamactl.trace.mechanisms.mechanism import Drawn, Mechanism
from llamactl.trace.mechanisms.table import Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class ProcessFacts:
    """The processes."""

    processes: list[ProcessRow]
    endings: list[Ending]
    left_running: LeftRunning | None


class Processes(Mechanism[ProcessFacts]):
    """The processes; they are in the report's head and in the row of threads."""

    name = "processes"
    facts = ProcessFacts
    tables = (
        Table("processes", "Processes", ProcessRow, (
            Column("name", "process", width=30), Column("pid"), Column("count", "calls"), Column("threads"),
            Column("begin_s", "from s"), Column("end_s", "to s"), Column("from_disk_bytes"),
            Column("largest_rss_bytes", "memory"), Column("end"),
        )),
        Table("endings", "How processes ended", Ending, (
            Column("name", "process", width=20), Column("pid"), Column("at_s", "at s"), Column("signal"),
            Column("exit_code", "status"), Column("cause"), Column("sender_pid", "sender"),
            Column("call", "in", width=20),
        )),
    )  # fmt: skip
    looks = processes.LOOKS

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._signals = SignalTable()

    def add(self, piece: Piece) -> None:
        """Keep who sent signals to whom."""
        self._signals.add(piece.view)

    def draw(self, drawn: Drawn) -> ProcessFacts:  # noqa: ARG002 - from what all share
        """Return the processes and how they ended."""
        scene = self.scene
        table = scene.processes
        rows = table.rows(scene.begin_ns, scene.fetched.by_process(), scene.counters.largest("rss_bytes"))
        evidence = Evidence(
            signals=self._signals,
            process_names=table.names(),
            parents=table.parents(),
            mappings=lambda: MappingIndex(scene.mappings.all()),
            names=scene.names,
            exchange=scene.calls,
            metadata=scene.metadata,
            begin_ns=scene.begin_ns,
        )
        return ProcessFacts(
            processes=rows,
            endings=endings(table.ends(), evidence),
            left_running=left_running(rows, scene.metadata, scene.length_s),
        )
