"""What a recording waits for after its program has ended."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.render.safe import safe_text

_NAMED = 3


def waiting_text(left: Sequence[tuple[int, str]]) -> str:
    """Return one line: the processes (number, name) that still run, and how to end the recording."""
    named = ", ".join(f"{safe_text(name) or 'process'} ({pid})" for pid, name in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    them = "it" if len(left) == 1 else "them"
    return (
        f"the program has ended and left running: {named}{more}. Recording goes on as long as that runs;"
        f" Ctrl-C twice ends {them} and the recording"
    )
