"""CPU: what the threads got of it, and what they waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.cpu.cpu_time import CpuRow, cpu_rows, waited_in_tokens
from llamactl.trace.mechanisms.cpu.cpu_use import CpuUse, CpuVerdict, cpu_use
from llamactl.trace.mechanisms.findings import cpu
from llamactl.trace.mechanisms.mechanism import OK, UNKNOWN, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.table import Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport

_STARVED = attention("STARVED")
_VERDICTS = {
    CpuVerdict.OK: OK,
    CpuVerdict.QUOTA: attention("THROTTLED"),
    CpuVerdict.HIDDEN_QUOTA: _STARVED,
    CpuVerdict.OWN_THREADS: attention("CROWDED"),
    CpuVerdict.OWN_OTHERS: _STARVED,
    CpuVerdict.NEIGHBOURS: _STARVED,
    CpuVerdict.UNKNOWN: _STARVED,
    CpuVerdict.UNSEEN: UNKNOWN,
}

LEAST_NS = 1_000_000
"""Waits of less aren't listed by phase."""


def is_listed(waited_ns: int) -> bool:
    """Whether a wait is long enough for a word in the row."""
    return waited_ns >= LEAST_NS


@dataclass(frozen=True)
class CpuFacts:
    """What threads had of the CPUs."""

    cpu: list[CpuRow]
    cpu_use: CpuUse | None
    waited_between_calls_ns: int
    """How long the threads that make the tokens were ready without a CPU after the decodes."""
    waited_in_tokens_ns: int
    """The same in the tokens' whole time."""


class Cpu(Mechanism[CpuFacts]):
    """Whether threads that were ready to run had a CPU."""

    name = "cpu"
    title = "CPU"
    explanation = (
        "Linux counts how long a thread was ready but had no CPU. Threads that compute a token together wait for the"
        " last one: a quota, other programs or too many threads of one's own make every token slow alike."
    )
    facts = CpuFacts
    tables = (
        Table("cpu", "CPU time, and waits of threads that were ready to run", CpuRow, (
            Column("name", "phase", width=10), Column("count"), Column("threads", blank=True), Column("wall_ns"),
            Column("ran_ns", "computed"), Column("waited_ns"), Column("held_up_ns"), Column("throttled_ns"),
        )),
    )  # fmt: skip
    looks = cpu.LOOKS

    def draw(self, drawn: Drawn) -> CpuFacts:  # noqa: ARG002 - from the looks at threads
        """Return what was had and waited for."""
        scene, found = self.scene, self.scene.exchange
        waited = (
            waited_in_tokens(scene.scheduling, found.exchange, found.tokens) if found is not None else (0, 0)
        )
        rows = cpu_rows(scene.scheduling, scene.phases, scene.calls, scene.end_ns)
        return CpuFacts(
            cpu=rows,
            cpu_use=cpu_use(rows, scene.scheduling, scene.phases, scene.calls, scene.end_ns),
            waited_between_calls_ns=waited[0],
            waited_in_tokens_ns=waited[1],
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say what kept CPUs from the threads."""
        return UNUSED if report.cpu_use is None else _VERDICTS[report.cpu_use.verdict]
