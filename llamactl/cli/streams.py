"""stdin, stdout and stderr as they are handed to us: some may be closed, and none need take UTF-8."""

from __future__ import annotations

import codecs
import io
import os
import sys

from llamactl.errors import LlamactlError

_closed: set[int] = set()
ESCAPED = "llamactl-escaped"


def prepare() -> None:
    """Open what is closed to /dev/null, else the next file gets its number; have the others take UTF-8.

    A model's text is UTF-8, as llama.cpp's programs write it, and so is JSON, whatever the locale says.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            _closed.add(number)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    codecs.register_error(ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Return what UTF-8 can't hold, from file names, as ``\uXXXX``: right in JSON, too (codecs.register_error)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{lacking[i : i + 2].hex()}" for i in range(0, len(lacking), 2)), error.end


def require_stdout() -> None:
    """Refuse to work for a stdout that was closed: what would come out would be lost without a word.

    Raises:
        LlamactlError: It was.
    """
    if 1 in _closed:
        raise LlamactlError(
            "stdout is closed: the result would be lost", "Redirect it: > FILE, or > /dev/null."
        )
