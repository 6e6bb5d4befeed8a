"""Tables of plain text that fit a width: one column gives way, cut in its middle."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.render.safe import safe_text

WIDTH = 80
_LEAST = 12


def columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: str = "",
    indent: int = 2,
    width: int = WIDTH,
) -> list[str]:
    """Return the lines of a table. Cells are made safe for a terminal.

    Args:
        header: One text per column; the last column is the one that gives way.
        rows: The cells.
        right: One character per column, ``r`` for those aligned to the right; the rest is to the left.
        indent: Spaces before each line.
        width: Most characters in a line; 0 for no bound, where lines are for searching too.
    """
    table = [list(header), *([safe_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in table) for at in range(len(header))]
    room = width - indent - sum(widths[:-1]) - 2 * (len(widths) - 1)
    widths[-1] = min(widths[-1], max(room, _LEAST)) if width else widths[-1]
    return [_line(row, widths, right, indent) for row in table]


def _line(row: Sequence[str], widths: Sequence[int], right: str, indent: int) -> str:
    cells = []
    for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = shorten(cell, width)
        cells.append(text.rjust(width) if right[at : at + 1] == "r" else text.ljust(width))
    return (" " * indent + "  ".join(cells)).rstrip()


def shorten(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` characters; what is cut is in the middle, as an ellipsis."""
    if len(text) <= width:
        return text
    front = (width - 1) // 3
    return f"{text[:front]}…{text[len(text) - (width - 1 - front) :]}"


def wrapped(text: str, *, first: str = "  ", rest: str = "    ", width: int = WIDTH) -> list[str]:
    """Return a sentence as lines, made safe for a terminal."""
    import textwrap

    return textwrap.wrap(
        safe_text(text), width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
