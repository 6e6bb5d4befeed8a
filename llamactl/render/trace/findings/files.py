"""Sentences on what `trace/mechanisms/findings/files.py` finds."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.render.trace.text import byte_text
from llamactl.trace.mechanisms.findings.finding import FindingKind


def _load_mode(f: Figures) -> Said:
    name = safe_text(PurePath(f["file"]).name)
    return f"{name} was to be loaded with {f['asked']}, in force is {f['in_force']}.", ""


def _temporary(f: Figures) -> Said:
    names = f["files"]
    what, them = ("a temporary file", "it") if len(names) == 1 else (f"{len(names)} temporary files", "them")
    listed = ", ".join(safe_text(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
    return (
        f"This run left {what} behind: {listed} ({byte_text(f['written_bytes'])} written).",
        f"Remove {them}, unless that is the result.",
    )


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.LOAD_MODE: _load_mode,
    FindingKind.TEMPORARY_FILES: _temporary,
}
