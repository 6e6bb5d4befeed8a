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
    # Column by column and with one format for all lines: a process can have tens of thousands of them.
    table = [[name, *map(_safe, cells)] for name, cells in zip(header, zip(*rows, strict=True), strict=False)]
    table = table or [[name] for name in header]
    widths = [max(map(len, cells)) for cells in table]
    if width:
        room = max(width - indent - sum(widths[:-1]) - 2 * (len(widths) - 1), _LEAST)
        table[-1] = [shorten(cell, room) for cell in table[-1]]
    # Spaces after the last column would only be cut off again.
    widths[-1] = max(map(len, table[-1])) if right[len(widths) - 1 :] == "r" else 0
    signs = (">" if right[at : at + 1] == "r" else "<" for at in range(len(widths)))
    cell_formats = (f"{{:{sign}{size}}}" for sign, size in zip(signs, widths, strict=True))
    line = (" " * indent + "  ".join(cell_formats)).format
    return [line(*cells).rstrip() for cells in zip(*table, strict=True)]


def _safe(cell: str) -> str:
    return cell if cell.isascii() and cell.isprintable() else safe_text(cell)


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
