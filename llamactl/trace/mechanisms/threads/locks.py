"""Locks: what threads waited for each other for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llamactl.trace.mechanisms.mapping.python_runtime import SYMBOL, runtime_regions
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Drawn, Mechanism, Verdict
from llamactl.trace.mechanisms.table import UNFINISHED, Column, Table
from llamactl.trace.mechanisms.threads.futexes import FutexRow, FutexTable

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class LockFacts:
    """Waits at futexes, by what is waited for."""

    futexes: list[FutexRow]


class Locks(Mechanism[LockFacts]):
    """How threads wait for each other."""

    name = "locks"
    title = "Locks"
    explanation = (
        "A futex is how threads wait for each other. The GIL's word lies inside _PyRuntime; barriers of the"
        " compute threads are words that all of them use."
    )
    facts = LockFacts
    tables = (
        Table("futexes", "Futex, by what is waited for", FutexRow, (
            Column("name", "waited for", width=20), Column("count", "calls"), Column("waits"), UNFINISHED,
            Column("waited_ns"), Column("words"), Column("threads"),
        )),
    )  # fmt: skip

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._futexes = FutexTable(scene.phases)

    def add(self, piece: Piece) -> None:
        """Add up the waits."""
        self._futexes.add(piece.kept)

    def draw(self, drawn: Drawn) -> LockFacts:  # noqa: ARG002 - from futexes and mappings
        """Return the waits."""
        scene = self.scene
        return LockFacts(self._futexes.rows(scene.mappings, scene.names, self._regions()))

    def _regions(self) -> dict[str, list[tuple[int, int]]]:
        """Return the ranges that tell locks apart: the recorder's, which are the first process's, and the files'.

        What starts the interpreter, such as a shell, has none itself.
        """
        kept: Any = self.scene.metadata.get("regions")
        regions = {
            str(name): [(int(low), int(high)) for low, high in ranges]
            for name, ranges in (kept if isinstance(kept, dict) else {}).items()
        }
        if self._futexes:
            more = runtime_regions(self.scene.mappings.all(), self.scene.names)
            found = dict.fromkeys([*regions.get(SYMBOL, []), *more])
            return {**regions, SYMBOL: list(found)} if found else regions
        return regions

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Whether anything waited."""
        return OK if any(row.waits for row in report.futexes) else UNUSED
