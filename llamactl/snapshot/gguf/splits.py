"""Models stored in several files, named ``NAME-00001-of-0000N.gguf`` (llama_split_path of llama.h)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from llamactl.errors import UsageError
from llamactl.snapshot.gguf import header
from llamactl.snapshot.gguf.header import GgufFile

_NAME = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def paths(path: str) -> list[str]:
    """Return the paths of all files of a model, by the name of one; the path alone if it isn't split."""
    match = _NAME.fullmatch(path)
    if match is None:
        return [path]
    count = int(match["count"])
    return [f"{match['prefix']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]


def files_of(path: str) -> list[str]:
    """Return the paths of the files that a model is made of. Its header decides: a name may claim parts that aren't.

    A file whose header can't be read is one file.
    """
    named = paths(path)
    return named if len(named) > 1 and _n_parts(path) == len(named) else [path]


@lru_cache(maxsize=64)
def _n_parts(path: str) -> int:
    try:
        count = header.read(path).get("split.count")
    except UsageError:
        return 1
    return count if isinstance(count, int) else 1


def read_all(path: str) -> list[GgufFile]:
    """Read the headers of a model's files.

    Raises:
        UsageError: A file is missing, isn't the part its name says, or isn't the first of several.
    """
    first = header.read(path)
    count = first.get("split.count")
    if not isinstance(count, int) or count < 2 or first.fault is not None:
        return [first]
    number = first.get("split.no")
    if number != 0:
        raise UsageError(
            f"{path} is part {number + 1 if isinstance(number, int) else 'unknown'} of {count}",
            f"Give the first part{_named(path)}.",
        )
    names = paths(path)
    if len(names) != count:
        raise UsageError(
            f"{path} says it is the first of {count} parts, which its name doesn't",
            f"Name the files NAME-00001-of-{count:05d}.gguf and so on, as they were published.",
        )
    return [first, *(_read_part(name, number, count) for number, name in enumerate(names[1:], 1))]


def _read_part(path: str, number: int, count: int) -> GgufFile:
    if not Path(path).exists():
        raise UsageError(f"{path} is missing", f"All {count} parts of the model must be in one folder.")
    part = header.read(path)
    if part.fault is None and part.get("split.no") != number:
        raise UsageError(f"{path} isn't part {number + 1} of the model", "Download the parts again.")
    return part


def _named(path: str) -> str:
    names = paths(path)
    return f": {names[0]}" if len(names) > 1 else ""
