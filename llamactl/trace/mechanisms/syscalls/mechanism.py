"""System calls: how many, how long, which were refused, failed, or stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.findings import refused, standing
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.syscalls.calls import CallRow, CallTable
from llamactl.trace.mechanisms.syscalls.connects import ConnectTable, Unanswered
from llamactl.trace.mechanisms.syscalls.missing import Missing, MissingTable
from llamactl.trace.mechanisms.syscalls.refusals import AlwaysFailed, Refusal, RefusalTable
from llamactl.trace.mechanisms.table import ERRORS, UNFINISHED, Column, Table
from llamactl.trace.mechanisms.threads.standing import (
    StandingRow,
    UnansweredRow,
    standing_rows,
    unanswered_rows,
)

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class CallFacts:
    """The system calls that the selection shows, and what went wrong among all."""

    calls: list[CallRow]
    refusals: list[Refusal]
    always_failed: list[AlwaysFailed]
    unanswered: list[Unanswered]
    missing: list[Missing]
    standing: list[StandingRow]
    unanswered_requests: list[UnansweredRow]


class SystemCalls(Mechanism[CallFacts]):
    """What the program asked of Linux."""

    name = "calls"
    title = "System calls"
    explanation = (
        "A system call is the only way for a program to get something from Linux. Each costs a fraction of a"
        " microsecond to enter, and whatever it waits for."
    )
    facts = CallFacts
    tables = (
        Table("calls", "By call", CallRow, (
            Column("name", "call", width=22), Column("count"), ERRORS, UNFINISHED, Column("total_ns"),
            Column("mean_ns"), Column("max_ns"), Column("bytes", blank=True),
        )),
    )  # fmt: skip
    looks = (*standing.LOOKS, *refused.LOOKS)

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._calls = CallTable()
        self._refusals = RefusalTable(scene.names, scene.metadata)
        self._connects = ConnectTable(scene.names)
        self._missing = MissingTable(scene.names, scene.metadata)

    def add(self, piece: Piece) -> None:
        """Count the calls of a piece."""
        self._calls.add(piece.kept)
        self._refusals.add(piece.view, piece.names)
        self._connects.add(piece.view)
        self._missing.add(piece.view, piece.names)

    def draw(self, drawn: Drawn) -> CallFacts:  # noqa: ARG002 - from the calls alone
        """Return the calls."""
        metadata = self.scene.metadata
        return CallFacts(
            calls=self._calls.rows(),
            refusals=self._refusals.rows(),
            always_failed=self._refusals.always_failed(),
            unanswered=self._connects.rows(self.scene.phases),
            missing=self._missing.rows(),
            standing=standing_rows(metadata.get("standing")),
            unanswered_requests=unanswered_rows(metadata.get("unanswered_requests")),
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say what went wrong, the worst first."""
        if report.standing:
            return attention("STANDS")
        if report.refusals:
            return attention("REFUSED")
        if report.always_failed or report.unanswered:
            return attention("FAILS")
        return OK if any(row.count for row in report.calls) else UNUSED
