"""One row of the mechanism report."""

from __future__ import annotations

from dataclasses import dataclass

OK = "ok"
NONE = "–"
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One row; ``verdict`` is ``ok``, ``–`` or a word in capitals that asks for attention."""

    name: str
    lines: tuple[str, ...]
    verdict: str
    explanation: str
