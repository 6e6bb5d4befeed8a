"""What was recorded: the phases, the cost of recording, the time to the first token. The report's head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.by_phase import PhaseRow, PhaseTable
from llamactl.trace.mechanisms.cost import Cost, own_cost
from llamactl.trace.mechanisms.mechanism import Drawn, Mechanism
from llamactl.trace.mechanisms.slow.first_token import FirstToken, first_token
from llamactl.trace.mechanisms.table import ERRORS, MAJOR, MINOR, UNFINISHED, Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class RunFacts:
    """The recording as a whole."""

    cost: Cost
    phase_source: str
    first_token: FirstToken | None
    signals: int
    phases: list[PhaseRow]


class Run(Mechanism[RunFacts]):
    """The recording as a whole; it has no row."""

    name = "run"
    facts = RunFacts
    tables = (
        Table("phases", "By phase", PhaseRow, (
            Column("name", "phase", width=10), Column("intervals", "times", blank=True),
            Column("wall_s", "wall s"), UNFINISHED, Column("count", "calls"), ERRORS,
            Column("total_ns", "in calls"), Column("read_bytes", blank=True), MINOR, MAJOR,
        )),
    )  # fmt: skip

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._phases = PhaseTable(scene.phases)
        self._lost = self._agent = self._signals = 0

    def add(self, piece: Piece) -> None:
        """Count by phase, and what isn't a system call."""
        kind = piece.view.kind
        self._phases.add(piece.kept)
        self._lost += int(piece.view.of_kind(Kind.LOST)["ret"].sum())
        self._agent += int(((kind == Kind.CALL) | (kind == Kind.GIL)).sum())
        self._signals += int((kind == Kind.SIGNAL).sum())

    def draw(self, drawn: Drawn) -> RunFacts:  # noqa: ARG002 - the first of all facts
        """Return what was recorded."""
        scene = self.scene
        capture, calls = scene.capture, scene.calls
        lost = self._lost or int(scene.metadata.get("lost") or 0)
        counted = 0 if calls is None else sum(count for count, _ in calls.counted.values())
        return RunFacts(
            cost=own_cost(
                scene.metadata, capture.complete, lost, capture.count, scene.length_s, self._agent, counted
            ),
            phase_source=scene.phases.source,
            first_token=first_token(scene.phases, scene.begin_ns, scene.at_start.attached, calls),
            signals=self._signals,
            phases=self._phases.rows(),
        )
