"""One row of the report: a mechanism's sentences and its verdict in characters."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.trace.mechanisms.mechanism import State, Verdict

_WORDS = {State.OK: "ok", State.UNUSED: "–", State.UNKNOWN: "UNKNOWN"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row; ``verdict`` is ``ok``, ``–`` or a word in capitals that asks for attention."""

    name: str
    lines: tuple[str, ...]
    verdict: str
    explanation: str


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict as people read it."""
    return verdict.word or _WORDS[verdict.state]
