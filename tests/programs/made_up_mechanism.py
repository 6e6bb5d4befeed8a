"""A mechanism that nobody needs, in one file: how often each thread asked for its process's number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings.finding import Finding
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.table import Table
from llamactl.trace.mechanisms.view import codes_of

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene

MANY = 2


class MadeUpKind(Enum):
    ASKED_OFTEN = "asked-often"


@dataclass(frozen=True, slots=True)
class AskingRow:
    """One thread that asked.

    Attributes:
        name: The thread's number, as a text.
        count: How often.
        longest_ns: The longest of its calls.
        answer_bytes: What it was told.
    """

    name: str
    count: int
    longest_ns: int
    answer_bytes: int | None


@dataclass(frozen=True)
class AskingFacts:
    """Who asked."""

    asking: list[AskingRow]
    asked_in_all: int
    asked_ns: int


class Asking(Mechanism[AskingFacts]):
    """Asking for one's own number."""

    name = "asking"
    title = "Asking"
    explanation = "A process may forget who it is. Asking Linux costs a system call."
    facts = AskingFacts
    tables = (Table("asking", "Who asked for its number", AskingRow),)

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._count: Counter[int] = Counter()
        self._longest: dict[int, int] = {}
        self._asked_ns = 0
        self._wanted = codes_of(["getpid"])

    def add(self, piece: Piece) -> None:
        """Count the calls of a piece."""
        mine = self._wanted[piece.view.code]
        for tid, took in zip(piece.view.tid[mine].tolist(), piece.view.duration[mine].tolist(), strict=True):
            self._count[tid] += 1
            self._longest[tid] = max(self._longest.get(tid, 0), int(took))
            self._asked_ns += int(took)

    def draw(self, drawn: Drawn) -> AskingFacts:
        """Return who asked."""
        rows = [AskingRow(str(tid), count, self._longest[tid], None) for tid, count in self._count.items()]
        return AskingFacts(rows, self._count.total(), self._asked_ns)

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Whether somebody asked too often."""
        found = report.of(AskingFacts)
        if found.asked_in_all > MANY:
            return attention("FORGETFUL")
        return OK if found.asking else UNUSED

    @classmethod
    def findings(cls, report: TraceReport) -> Iterator[Finding]:
        """Who asked too often."""
        found = report.of(AskingFacts)
        if found.asked_in_all > MANY:
            yield Finding(
                MadeUpKind.ASKED_OFTEN,
                found.asked_ns,
                {"asked_in_all": found.asked_in_all, "tids": len(found.asking)},
            )
