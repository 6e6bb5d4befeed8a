"""Where the prompt comes from: the argument, a file, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llamactl.errors import UsageError

if TYPE_CHECKING:
    from llamactl.cli.run.answer_options import PromptOptions


def read_prompt(argument: str | None, options: PromptOptions) -> str:
    """Return the prompt. One final newline of a file or of stdin doesn't belong to it.

    Escapes are read in arguments and in files, as llama.cpp's programs do; what comes through stdin stays as it is.

    Raises:
        UsageError: There is none, there are two, or it isn't UTF-8.
    """
    given = {"a prompt": argument, "-p": options.prompt_option, "-f": options.file}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} exclude each other", "Give one of them.")
    written = argument if argument is not None else options.prompt_option
    if written is not None:
        text = _decoded(written.encode("utf-8", "surrogateescape"), "the prompt")
    elif options.file is not None and options.file != "-":
        text = _decoded(_read(Path(options.file)), f"-f {options.file!r}").removesuffix("\n")
    elif options.file is None and sys.stdin.isatty():
        raise UsageError("there is no prompt", "Write it as an argument, or pass -f FILE.")
    else:
        return _decoded(sys.stdin.buffer.read(), "stdin").removesuffix("\n")
    from llamactl.engine import process_escapes

    return process_escapes(text) if options.escape else text


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
