"""Processes that went on after the program itself had ended: a recording lasts as long as they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llamactl.trace.mechanisms.end.processes import ProcessRow

NOTABLE_S = 0.5
"""Helpers that notice the end of their parent and follow within this aren't named."""


@dataclass(frozen=True, slots=True)
class LeftRunning:
    """What the program left behind running.

    Attributes:
        ended_s: When the program itself ended, since the capture began.
        processes: The others that went on.
    """

    ended_s: float
    processes: tuple[ProcessRow, ...]


def left_running(rows: list[ProcessRow], metadata: dict[str, Any], length_s: float) -> LeftRunning | None:
    """Return what was left running; None where nothing was, or the program's own end wasn't seen.

    Args:
        rows: The processes of a capture.
        metadata: Which is the program's own.
        length_s: How long the capture is.
    """
    own = next((row for row in rows if row.pid == metadata.get("pid")), None)
    if own is None or own.end_s is None:
        return None
    later = own.end_s + NOTABLE_S
    others = [
        row for row in rows if row is not own and (length_s if row.end_s is None else row.end_s) > later
    ]
    return LeftRunning(own.end_s, tuple(others)) if others else None
