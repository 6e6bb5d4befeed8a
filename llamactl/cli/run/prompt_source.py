"""Where the prompt comes from: the argument, a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from llamactl.errors import UsageError


def read_prompt(argument: str | None, file: str | None) -> str:
    """Return the prompt. One final newline of a file or of stdin doesn't belong to it.

    Raises:
        UsageError: There is none, there are two, or it isn't UTF-8.
    """
    if argument is not None and file is not None:
        raise UsageError("a prompt and -f exclude each other", "Give one of them.")
    if argument is not None:
        return _decoded(argument.encode("utf-8", "surrogateescape"), "the prompt")
    if file is not None and file != "-":
        return _decoded(_read(Path(file)), f"-f {file!r}").removesuffix("\n")
    if file is None and sys.stdin.isatty():
        raise UsageError("there is no prompt", "Write it as an argument, or pass -f FILE.")
    return _decoded(sys.stdin.buffer.read(), "stdin").removesuffix("\n")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"-f {str(path)!r} can't be read: {error.strerror}", "Check the path.") from error


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} isn't UTF-8 (byte {error.start})", "Convert it to UTF-8.") from error
