"""Threads: whose they are, and how long they were blocked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings import threads
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Drawn, Mechanism, Verdict
from llamactl.trace.mechanisms.table import UNFINISHED, Column, Table
from llamactl.trace.mechanisms.threads.pinning import Pin, PinningTable
from llamactl.trace.mechanisms.threads.spinning import Spinning, spinning
from llamactl.trace.mechanisms.threads.threads import ThreadRow, ThreadTable

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class ThreadFacts:
    """The threads."""

    threads: list[ThreadRow]
    pins: list[Pin]
    spinning: Spinning | None


class Threads(Mechanism[ThreadFacts]):
    """Threads of all processes."""

    name = "threads"
    title = "Threads"
    explanation = (
        "llama.cpp computes in threads that meet at barriers; more threads than CPUs make every token wait"
        " for the slowest."
    )
    facts = ThreadFacts
    tables = (
        Table("threads", "By thread", ThreadRow, (
            Column("name", "thread", width=16), Column("role"), Column("tid"), Column("begin_s", "from s"),
            Column("end_s", "to s"), Column("count", "calls"), UNFINISHED, Column("calls_ns", "in calls"),
            Column("blocked_ns"),
        )),
    )  # fmt: skip
    looks = threads.LOOKS

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._threads = ThreadTable(scene.phases, scene.capture)
        self._pinning = PinningTable()

    def add(self, piece: Piece) -> None:
        """Count what each thread did."""
        self._threads.add(piece.kept)
        self._pinning.add(piece.view)

    def draw(self, drawn: Drawn) -> ThreadFacts:  # noqa: ARG002 - from the calls
        """Return the threads."""
        scene = self.scene
        return ThreadFacts(
            threads=self._threads.rows(scene.begin_ns, scene.blind.futexes),
            pins=self._pinning.pins,
            spinning=spinning(scene.calls, scene.scheduling) if scene.calls is not None else None,
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Whether there is anything to say; what is wrong with threads shows on the CPU."""
        return OK if report.threads else UNUSED
