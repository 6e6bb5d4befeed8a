"""Mappings: how models came into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.disk.load import LoadFacts, load_facts
from llamactl.trace.mechanisms.files.mechanism import FileFacts
from llamactl.trace.mechanisms.mapping.mapping_rows import MappingRow
from llamactl.trace.mechanisms.mechanism import OK, UNKNOWN, UNUSED, Drawn, Mechanism, Verdict
from llamactl.trace.mechanisms.table import MAJOR, MINOR, Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


@dataclass(frozen=True)
class MappingFacts:
    """Mappings, and the models among them."""

    mappings: list[MappingRow]
    mappings_not_kept: int
    load: list[LoadFacts]


class Mappings(Mechanism[MappingFacts]):
    """How models came into memory."""

    name = "mapping"
    title = "Mapping"
    explanation = (
        "A mapped model is read page by page when it is touched, and shared with every process that maps it;"
        " a model that is read lies in memory of its own."
    )
    facts = MappingFacts
    tables = (
        Table("mappings", "By mapping", MappingRow, (
            Column("name", "mapping", width=26), Column("role"), Column("length_bytes", "size", blank=True),
            Column("protection", "prot"), Column("begin_s", "at s"), Column("life_s", "life s"), MINOR, MAJOR,
        )),
        Table("load", "How models were loaded", LoadFacts, (
            Column("name", "model", width=34), Column("mode"), Column("mapped_bytes", blank=True),
            Column("read_bytes", blank=True), Column("read_s", "read s"), MINOR, MAJOR,
        )),
    )  # fmt: skip

    def draw(self, drawn: Drawn) -> MappingFacts:
        """Return the mappings and the models."""
        scene, files = self.scene, drawn.of(FileFacts)
        rows = scene.mapping_rows
        at_start = scene.at_start.mapped(rows, scene.begin_ns)
        return MappingFacts(
            mappings=rows,
            mappings_not_kept=scene.mappings.not_kept,
            load=load_facts(files.files, rows, files.blind, files.open_at_start, at_start),
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say whether it is known how each model was loaded."""
        if not report.load:
            return UNUSED if report.blind.maps else UNKNOWN
        return OK if all(row.mode != "unknown" for row in report.load) else UNKNOWN
