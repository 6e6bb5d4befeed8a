"""Files of /proc and /sys, whose absence is an answer."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return the text of a small file without the white space around it, None if it can't be read."""
    try:
        # Not read_text: it takes a carriage return, which any name may hold, for a line's end.
        return path.read_bytes().decode("utf-8", "backslashreplace").strip()
    except OSError:
        return None


def read_bytes(path: Path) -> bytes:
    """Return what is in a file, nothing if it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def read_int(path: Path, base: int = 10) -> int | None:
    """Return the number that is in a file, None if there is none."""
    text = read_text(path)
    try:
        return int(text, base) if text else None
    except ValueError:
        return None
