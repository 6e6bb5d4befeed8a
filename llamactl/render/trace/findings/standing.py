"""Sentences on what `trace/mechanisms/findings/standing.py` finds."""

from __future__ import annotations

from enum import Enum

from llamactl.render.safe import safe_text
from llamactl.render.trace.findings.sentence import Figures, Said, Sentence
from llamactl.snapshot.process.standing_text import standing_text, unanswered_text
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.threads.standing import standing_rows, unanswered_rows


def _standing(f: Figures) -> Said:
    (row,) = standing_rows([{**f, "threads": list(f["threads"]), "ends": list(f["ends"])}])
    message, remedy = standing_text(row.process, row.standing)
    return safe_text(f"{message[:1].upper()}{message[1:]}."), safe_text(remedy)


def _unanswered(f: Figures) -> Said:
    rows = unanswered_rows(
        [{"process": f["process"], **one, "ends": list(one["ends"])} for one in f["requests"]]
    )
    message, remedy = unanswered_text(f["process"], [row.request for row in rows])
    return safe_text(f"{message[:1].upper()}{message[1:]}."), safe_text(remedy)


SENTENCES: dict[Enum, Sentence] = {
    FindingKind.STANDING: _standing,
    FindingKind.UNANSWERED_REQUESTS: _unanswered,
}
