"""The interface: which binding calls llama.cpp, how often, and what a crossing costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.files.mechanism import FileFacts
from llamactl.trace.mechanisms.findings import callbacks, engine
from llamactl.trace.mechanisms.inner import INNER
from llamactl.trace.mechanisms.interface.attribution import FunctionWork, work_by_function
from llamactl.trace.mechanisms.interface.crossings import FunctionRow
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts
from llamactl.trace.mechanisms.interface.sampler_share import SamplerShare, sampler_share
from llamactl.trace.mechanisms.interface.uncaught import Uncaught, uncaught
from llamactl.trace.mechanisms.interface.without_calls import without_calls
from llamactl.trace.mechanisms.mechanism import OK, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.table import MAJOR, MINOR, UNFINISHED, Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


@dataclass(frozen=True)
class InterfaceFacts:
    """Calls into llama.cpp."""

    exchange: ExchangeFacts | None
    uncaught: list[Uncaught]
    functions: list[FunctionRow]
    """Per function of llama.cpp; empty where no call was seen."""
    work: list[FunctionWork]
    sampler_share: SamplerShare | None = field(metadata=INNER)


class Interface(Mechanism[InterfaceFacts]):
    """Between Python and llama.cpp."""

    name = "interface"
    title = "Interface"
    explanation = (
        "Python reaches C through ctypes, CFFI or a compiled extension. Each crossing costs from tens to hundreds of"
        " nanoseconds, and whatever Python does around it."
    )
    facts = InterfaceFacts
    tables = (
        Table("functions", "By function of llama.cpp", FunctionRow, (
            Column("name", "function", width=30), Column("count"), UNFINISHED, Column("total_ns"),
            Column("mean_ns"), Column("max_ns"), Column("gil_held", "GIL held", blank=True),
            Column("called_at"),
        )),
        Table("work", "What Linux did, by the call into llama.cpp it belongs to", FunctionWork, (
            Column("name", "function", width=34), Column("count", "system calls"),
            Column("system_ns", "in calls"), MINOR, MAJOR,
        )),
    )  # fmt: skip
    looks = (*callbacks.LOOKS, *engine.LOOKS)

    def draw(self, drawn: Drawn) -> InterfaceFacts:
        """Return the calls, and the engines whose calls weren't caught."""
        found, scene = self.scene.exchange, self.scene
        kernel = scene.kernel
        return InterfaceFacts(
            exchange=found,
            uncaught=uncaught(
                scene.calls or Exchange.of_capture(scene.capture),
                scene.metadata,
                drawn.of(FileFacts).files,
            ),
            functions=found.functions if found is not None else [],
            work=work_by_function(found.exchange, kernel) if found and kernel is not None else [],
            sampler_share=sampler_share(found.exchange, found.tokens) if found else None,
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say whether calls were lost."""
        if report.exchange is None:
            return without_calls(report)
        return attention("LOST") if report.exchange.exchange.lost else OK
