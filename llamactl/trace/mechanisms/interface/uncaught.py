"""Engines whose calls a recording doesn't have: why, and what was seen of them instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from os.path import normpath
from pathlib import Path
from typing import Any

from llamactl.process.answering import answers
from llamactl.process.elf import read_elf
from llamactl.process.engine.libraries import engine_library, is_library
from llamactl.process.python.distributions import owner_of
from llamactl.trace.mechanisms.files.files import FileRow
from llamactl.trace.mechanisms.gil.gil import RELEASED
from llamactl.trace.mechanisms.interface.exchange import Exchange, timed

LOADER_READS = 832
"""What glibc's dynamic linker reads of a library before it maps it (elf/dl-load.c, struct filebuf)."""


class Why(Enum):
    """Why no call of an engine was caught."""

    HIDDEN = "it exports none of its functions"
    WITHOUT_AGENT = "the agent isn't in its process"
    NOT_CALLED = "none of its functions was called in a way that can be caught"
    REFUSED = "the dynamic linker refused it"


@dataclass(frozen=True, slots=True)
class Uncaught:
    """One file with an engine of which no call was caught.

    Attributes:
        why: The reason.
        path: The file.
        holds: ``llama.cpp``, ``whisper.cpp`` or ``ggml``.
        pid: The process; 0 where it never got into one.
        process: Its name.
        detail: More about the reason: why the agent isn't there, which libraries are missing.
        name: The distribution that installed the file; None if there is none.
        version: Of the distribution.
        releases: How often this module let the GIL go.
        released_ns: How long in all; that is when it computes or waits.
        longest_ns: The longest time; None without any.
    """

    why: Why
    path: str
    holds: str
    pid: int
    process: str
    detail: str
    name: str | None
    version: str | None
    releases: int
    released_ns: int
    longest_ns: int | None


def uncaught(exchange: Exchange, metadata: dict[str, Any], files: Sequence[FileRow]) -> list[Uncaught]:
    """Return the engines without calls, in the order in which they were found.

    Args:
        exchange: The records of calls and the GIL.
        metadata: The capture's; ``engines`` are those that were seen in the processes.
        files: What was opened.
    """
    seen = [row for row in metadata.get("engines") or [] if isinstance(row, dict)]
    numbers = set(exchange.calls["nr"].tolist())
    # The dynamic linker keeps the ".." of a run path such as $ORIGIN/../lib, the kernel's maps don't.
    called = {normpath(row.library) for nr, row in enumerate(exchange.functions) if nr in numbers}
    refused = str(metadata.get("calls_refused") or "")
    found = [_of(exchange, row, refused) for row in _callable(seen) if normpath(row["path"]) not in called]
    return [*found, *_refused({str(row["path"]) for row in seen} | called, files)]


def _callable(seen: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what programs call: ggml's own libraries are called by the others of their process."""
    rows = list(seen)
    mains = {row["pid"] for row in rows if not str(row["kind"]).startswith(("libggml", "libmtmd"))}
    known: set[tuple[Any, Any]] = set()
    for row in rows:
        inner = str(row["kind"]).startswith(("libggml", "libmtmd"))
        key = (row["path"], row["without"])
        if (inner and row["pid"] in mains) or key in known:
            continue
        known.add(key)
        yield row


def _of(exchange: Exchange, row: dict[str, Any], refused: str) -> Uncaught:
    path = str(row["path"])
    if row["exported"] is False:
        why, detail = Why.HIDDEN, ""
    elif row["without"] or refused:
        why, detail = Why.WITHOUT_AGENT, str(row["without"]) or refused
    else:
        why, detail = Why.NOT_CALLED, ""
    owner = owner_of(path)
    times = _released(exchange, path)
    return Uncaught(
        why=why, path=path, holds=str(row["holds"]), pid=int(row["pid"]), process=str(row["process"]),
        detail=detail, name=owner.name if owner else None, version=owner.version if owner else None,
        releases=len(times), released_ns=sum(times), longest_ns=max(times, default=None),
    )  # fmt: skip


def _released(exchange: Exchange, path: str) -> list[int]:
    """Return for how long, ns, each time that the code of this file let the GIL go."""
    mine = {nr for nr, function in enumerate(exchange.functions) if function.caller == path}
    records = exchange.gil[(exchange.gil["nr"] == RELEASED) & timed(exchange.gil)]
    return [int(record["duration"]) for record in records if int(record["args"][1]) in mine]


def _refused(known: set[str], files: Sequence[FileRow]) -> Iterator[Uncaught]:
    """Yield the engine's libraries that the dynamic linker opened and surely couldn't keep.

    Either nothing of one was mapped, or a library that it needs was found nowhere.
    """
    there = _found(files)
    for row in files:
        path = row.name.decode("utf-8", "surrogateescape")
        name = path.rpartition("/")[2]
        if path in known or not engine_library(name) or not row.opens:
            continue
        if (
            any(name == other.rpartition("/")[2] for other in known)
            or row.read_bytes > LOADER_READS * row.opens
        ):
            continue  # Found in another folder, or read by somebody who isn't the linker.
        missing = _missing(path, there, set())
        if row.mapped_bytes and not missing:
            continue
        detail = f"{', '.join(missing[:3])} wasn't found" if missing else ""
        holds = "ggml" if name.startswith("libggml") else "llama.cpp"
        yield Uncaught(Why.REFUSED, path, holds, 0, "", detail, None, None, 0, 0, None)


def _found(files: Sequence[FileRow]) -> dict[str, str]:
    """Return where each library that was looked for was opened, empty for nowhere, by name."""
    found: dict[str, str] = {}
    for row in files:
        path = row.name.decode("utf-8", "surrogateescape")
        name = path.rpartition("/")[2]
        if is_library(name) and (row.opens or row.open_errors):
            found[name] = path if row.opens else found.get(name, "")
    return found


def _missing(path: str, there: dict[str, str], seen: set[str]) -> list[str]:
    """Return what a library needs, be it through another one, and was looked for in vain."""
    seen.add(path)
    try:
        elf = read_elf(Path(path)) if answers(path) else None
    except OSError:
        return []
    found: list[str] = []
    for name in elf.needed if elf is not None else ():
        place = there.get(name)
        if place == "":
            found.append(name)
        elif place is not None and place not in seen:
            found += _missing(place, there, seen)
    return found
