"""Files that a run made in directories for temporary files and left there: nobody's but its own, and used by nobody.

That a program opened a file with O_CREAT says nothing: its log may have been there for years. What counts is its
birth, or that it wasn't there before; locks are left on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llamactl.process.files.file_roles import TEMPORARY_BYTES
from llamactl.trace.mechanisms.files.files import FileRow

_LOCKS = (b".lock", b".lck", b".pid")
"""Names of files that are there to be there."""


@dataclass(frozen=True, slots=True)
class LeftFile:
    """One file that was left behind."""

    name: str
    written_bytes: int


def left_files(files: list[FileRow], metadata: dict[str, Any]) -> list[LeftFile]:
    """Return what was left behind, in the order of ``files``.

    Args:
        files: The files of a capture.
        metadata: Its ``files_left`` says what was there when the recording ended; a capture that was cut off
            has none, and then only what was surely made and not removed counts.
    """
    known = metadata.get("files_left")
    there = {one["name"]: one for one in known} if isinstance(known, list) else None
    found = []
    for row in files:
        name = row.name.decode("utf-8", "backslashreplace")
        if _made_here(row) and _left(row, None if there is None else there.get(name, {"in_use": True})):
            found.append(LeftFile(name, row.written_bytes))
    return found


def _made_here(row: FileRow) -> bool:
    return (
        row.created
        and row.name.startswith(TEMPORARY_BYTES)
        and not row.locked
        and not row.name.endswith(_LOCKS)
    )


def _left(row: FileRow, state: dict[str, Any] | None) -> bool:
    """Tell by what was looked up at the end, or without it by the calls alone."""
    if state is None:
        return row.new and not row.removed
    born = state.get("born")
    return not state.get("in_use") and (row.new if born is None else bool(born))
