"""Disk: bytes from the disk against bytes from the page cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.disk.disk import DiskRow, DiskTable, DiskVerdict, judge
from llamactl.trace.mechanisms.disk.generation_reads import GenerationReads, PageIn, ReaderTable, none_waited
from llamactl.trace.mechanisms.findings import disk
from llamactl.trace.mechanisms.mechanism import OK, UNKNOWN, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.memory.counters import CounterRow
from llamactl.trace.mechanisms.memory.fetched import mapped_in
from llamactl.trace.mechanisms.table import Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class DiskFacts:
    """What came from the disk, and what was sampled to know it."""

    disk: list[DiskRow]
    counters: list[CounterRow]
    generation_reads: GenerationReads


_VERDICTS = {
    DiskVerdict.NOTHING: OK,
    DiskVerdict.READS: attention("READS"),
    DiskVerdict.NOT_JUDGED: UNUSED,
    DiskVerdict.UNKNOWN: UNKNOWN,
}


class Disk(Mechanism[DiskFacts]):
    """Bytes from the disk."""

    name = "disk"
    title = "Disk"
    explanation = (
        "Bytes that came from the disk against bytes that were in the page cache already: a model that is"
        " evicted is read again while it generates."
    )
    facts = DiskFacts
    tables = (
        Table("disk", "Bytes from the disk and from the page cache", DiskRow, (
            Column("name", "part", width=10), Column("disk", "from disk"), Column("cache", "from page cache"),
            Column("read_bytes", "read()", blank=True), Column("mapped", "mapped in"),
        )),
        Table("counters", "Counters", CounterRow, (
            Column("name", "counter", width=24), Column("pid"), Column("count", "samples"), Column("first"),
            Column("last"), Column("largest"),
        )),
    )  # fmt: skip
    looks = disk.LOOKS

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._disk = DiskTable(scene.phases, scene.names)
        self._readers = ReaderTable(scene.phases, scene.names)

    def add(self, piece: Piece) -> None:
        """Add up what was read of files."""
        self._disk.add(piece.view, piece.names, piece.others)
        self._readers.add(piece.view, piece.names, piece.others)

    def draw(self, drawn: Drawn) -> DiskFacts:  # noqa: ARG002 - from the counters and the reads
        """Return the parts of the run, and who read while tokens were made."""
        scene = self.scene
        mapped = mapped_in(scene.counters, scene.processes.lives(), scene.metadata, scene.begin_ns)
        return DiskFacts(
            disk=self._disk.rows(scene.fetched, mapped, scene.begin_ns, scene.end_ns, scene.blind),
            counters=scene.counters.rows(scene.phases),
            generation_reads=GenerationReads(self._readers.rows(), self._page_ins(), scene.blind.reads),
        )

    def _page_ins(self) -> list[PageIn] | None:
        """Return whose pages were waited for: from faults, or by counters that none was; None for unknown."""
        scene = self.scene
        if scene.faults is not None:
            return scene.faults.page_ins()
        holders = {row.pid for row in scene.mapping_rows if row.role == "weights"}
        return [] if none_waited(scene.counters.series("major_faults"), holders, scene.phases) else None

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict | None:
        """Judge what came from the disk while tokens were made; no row where nothing was sampled."""
        known = any(row.disk.least is not None or row.disk.most is not None for row in report.disk)
        return _VERDICTS[judge(report.disk)] if known else None
