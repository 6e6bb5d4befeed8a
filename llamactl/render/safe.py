"""Text from models, files and other processes, made safe for a terminal."""

from __future__ import annotations

import re

# C0 but for tab and newline, DEL, C1, and the marks and overrides of direction (Unicode UAX #9) that can reorder a line.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def strip_control(text: str) -> str:
    """Return ``text`` without control characters; tabs and newlines stay. For streamed prose."""
    return _UNSAFE.sub("", text)


def safe_text(text: str) -> str:
    r"""Return ``text`` on one line, control characters and lone surrogates shown as escapes (``\x1b``).

    For names: paths, thread names, metadata. What is shown can't move the cursor or forge a second line.
    """
    shown = _UNSAFE_IN_LINE.sub(lambda match: ascii(match.group())[1:-1], text)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")
