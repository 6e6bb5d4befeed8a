"""Sentences on what `trace/mechanisms/findings/processes.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.trace.mechanisms.findings.finding import FindingKind

_NAMED = 6


def _children(f: Figures) -> Said:
    children = f["children"]
    named = ", ".join(f"{safe_text(one['name']) or 'process'} ({one['pid']})" for one in children[:_NAMED])
    more = f" and {len(children) - _NAMED} more" if len(children) > _NAMED else ""
    count = "a child that isn't" if len(children) == 1 else f"{len(children)} descendants that aren't"
    return (
        f"Process {f['pid']} made no call into llama.cpp, and has {count} recorded: {named}{more}.",
        f"Record them, too: llamactl trace -p {f['pid']} --children",
    )


SENTENCES: dict[Enum, Sentence] = {FindingKind.CHILDREN_NOT_RECORDED: _children}
