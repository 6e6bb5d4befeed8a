"""Buffers: what llama.cpp hands out and takes in, and who reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.mechanisms.buffers.buffer_rows import BufferRow, buffer_rows
from llamactl.trace.mechanisms.buffers.buffers import EMBEDDINGS, STATE
from llamactl.trace.mechanisms.buffers.judged import asked, buffer_verdict
from llamactl.trace.mechanisms.findings import buffers
from llamactl.trace.mechanisms.interface.without_calls import without_calls
from llamactl.trace.mechanisms.mechanism import Drawn, Mechanism, Verdict
from llamactl.trace.mechanisms.table import Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


@dataclass(frozen=True)
class BufferFacts:
    """What goes in and out."""

    buffers: list[BufferRow]


class Buffers(Mechanism[BufferFacts]):
    """What llama.cpp hands out and takes in."""

    name = "buffers"
    title = "Buffers"
    explanation = (
        "llama.cpp hands out pointers to its own memory: 4 bytes of logits per entry of the vocabulary, each token. A"
        " view of them is free; a Python list makes an object of every number."
    )
    facts = BufferFacts
    tables = (
        Table("buffers", "Buffers that llama.cpp hands out and takes in", BufferRow, (
            Column("name", "function", width=26), Column("direction", ""), Column("what"), Column("count"),
            Column("largest_bytes", "largest", blank=True), Column("places"), Column("memory", width=20),
        )),
    )  # fmt: skip
    looks = buffers.LOOKS

    def draw(self, drawn: Drawn) -> BufferFacts:  # noqa: ARG002 - from calls and mappings
        """Return the buffers that functions were called with."""
        scene = self.scene
        if scene.calls is None:
            return BufferFacts([])
        return BufferFacts(buffer_rows(scene.calls, scene.mappings.all(), scene.names.name))

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say whether what is handed out is copied."""
        facts = report.exchange
        if facts is None or not (facts.per_token.tokens or asked(facts, (*LOGITS, *EMBEDDINGS, *STATE))):
            return without_calls(report)
        return buffer_verdict(facts)
