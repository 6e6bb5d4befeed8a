"""The GIL: held or released while llama.cpp computes, and what else holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings import garbage as garbage_findings
from llamactl.trace.mechanisms.findings import gil
from llamactl.trace.mechanisms.gil.event_loop import BlockedLoop, EventLoopTable
from llamactl.trace.mechanisms.gil.garbage import Collection, Garbage, garbage
from llamactl.trace.mechanisms.gil.gil import GilVerdict
from llamactl.trace.mechanisms.inner import INNER
from llamactl.trace.mechanisms.interface.without_calls import without_calls
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Drawn, Mechanism, Verdict, attention

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene

_VERDICTS = {
    GilVerdict.HELD: attention("HELD"),
    GilVerdict.MIXED: attention("MIXED"),
    GilVerdict.RELEASED: OK,
}


@dataclass(frozen=True)
class GilFacts:
    """What stopped other Python threads, beside calls into llama.cpp."""

    garbage: Garbage | None = field(metadata=INNER)
    collections: list[Collection] | None
    """Collections of the garbage collector that were seen at work; None where nobody looked."""
    blocked_loops: list[BlockedLoop]


class Gil(Mechanism[GilFacts]):
    """Held or released while llama.cpp computes."""

    name = "gil"
    title = "GIL"
    explanation = (
        "CPython's global interpreter lock lets one thread run Python at a time. A binding that holds it while"
        " llama.cpp computes stops every other Python thread for as long."
    )
    facts = GilFacts
    looks = (*gil.LOOKS, *garbage_findings.LOOKS)

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._loops = EventLoopTable()

    def add(self, piece: Piece) -> None:
        """Follow the event loops."""
        self._loops.add(piece.view)

    def draw(self, drawn: Drawn) -> GilFacts:  # noqa: ARG002 - from calls and looks
        """Return the collector's work and blocked event loops."""
        scene, found = self.scene, self.scene.exchange
        collected = garbage(scene.capture.chunks(), scene.calls, found.tokens if found else None)
        return GilFacts(
            garbage=collected,
            collections=None if collected is None else collected.collections,
            blocked_loops=self._loops.blocked(found.exchange) if found else [],
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say whether computing calls let it go."""
        if report.exchange is None:
            return without_calls(report)
        return _VERDICTS.get(report.exchange.gil.verdict, UNUSED)
