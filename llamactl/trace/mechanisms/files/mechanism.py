"""Files: what was opened, read and written, and what was left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llamactl.trace.mechanisms.files.files import FileRow, FileTable
from llamactl.trace.mechanisms.files.left_files import LeftFile, left_files
from llamactl.trace.mechanisms.findings import files
from llamactl.trace.mechanisms.mapping.mapping_rows import mapped_once
from llamactl.trace.mechanisms.mechanism import OK, UNKNOWN, UNUSED, Drawn, Mechanism, Verdict, attention
from llamactl.trace.mechanisms.syscalls.blind_spots import BlindSpots
from llamactl.trace.mechanisms.table import UNFINISHED, Column, Table

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class FileFacts:
    """The files."""

    files: list[FileRow]
    left_files: list[LeftFile]
    open_at_start: dict[bytes, int]
    """Descriptors by file that a program had when recording began; empty for one that was started."""
    blind: BlindSpots


class Files(Mechanism[FileFacts]):
    """Files and sockets."""

    name = "files"
    title = "Files"
    explanation = (
        "Files that a program makes in /tmp and doesn't remove stay until someone does; on many systems /tmp is"
        " memory."
    )
    facts = FileFacts
    tables = (
        Table("files", "By file", FileRow, (
            Column("name", "file", width=38), Column("count", "calls"), Column("opens", blank=True), UNFINISHED,
            Column("read_bytes", blank=True), Column("written_bytes", blank=True),
            Column("mapped_bytes", blank=True), Column("total_ns", "time"),
        )),
    )  # fmt: skip
    looks = files.LOOKS

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._files = FileTable(scene.names)

    def add(self, piece: Piece) -> None:
        """Count what was done to each file."""
        self._files.add(piece.kept, piece.kept_names, piece.kept_others)

    def draw(self, drawn: Drawn) -> FileFacts:  # noqa: ARG002 - from calls and mappings
        """Return the files; what io_uring did to them is unknown."""
        scene = self.scene
        rows = mapped_once(self._files.rows(scene.blind.io_uring_files), scene.mapping_rows)
        return FileFacts(
            files=rows,
            left_files=left_files(rows, scene.metadata),
            open_at_start=scene.at_start.open_files(),
            blind=scene.blind,
        )

    @classmethod
    def verdict(cls, report: TraceReport) -> Verdict:
        """Say whether something was left behind; unknown where figures leave something out."""
        if report.left_files:
            return attention("LEFT BEHIND")
        if not report.blind.files_known:
            return UNKNOWN
        return OK if used_files(report) else UNUSED


def used_files(report: TraceReport) -> list[FileRow]:
    """Return the files that were opened, and those that were open when recording began."""
    opened = [row for row in report.files if row.opens]
    held = [
        row
        for row in report.files
        if not row.opens and row.name.startswith(b"/") and row.name in report.open_at_start
    ]
    return [*opened, *held]
