"""Who touched a watched buffer: touches of its ends, grouped by library and by what that does with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.interface.exchange import Exchange, ends, outermost, starts, timed
from llamactl.trace.mechanisms.requests.requests import DECODES

FIRST, LAST = 0, 1
ENGINE = ("libllama", "libggml", "libmtmd")
LIBC = ("libc.so", "libc-", "libc.musl", "ld-musl")
SAMPLERS = ("llama_sampler_sample", "llama_sampler_apply")
RESTORES = ("llama_state_set_data",)
PYTHONS = ("/_ctypes.", "_multiarray_umath")
ONE_FUNCTION = 4096
"""Instructions of libc no further apart than this are taken for one function's; memmove has 2 KiB."""


class How(Enum):
    """How a reader uses the row."""

    LIST = "each float becomes a Python object"
    NUMPY_COPY = "copied into an array by memcpy"
    MEMORY_COPY = "copied by memcpy"
    IN_PLACE = "read where it lies"
    SAMPLER = "read by llama.cpp's sampler"
    ELEMENTS = "single floats are read as Python objects"
    RESTORED = "read back by llama.cpp"
    WRITTEN = "written by llama.cpp"


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader of the row.

    Attributes:
        how: What it does.
        library: Path of the code that touched the row.
        caller: Path of what called that code, where it is libc; empty otherwise.
        touches: Touches of the first float.
        per_token: The same by decodes.
        whole_row: Whether it reads the last float, too; None when that one wasn't watched.
        median_us: From the first float to the last one; None when that isn't known.
        evidence: The touches in words.
    """

    how: How
    library: str
    caller: str
    touches: int
    per_token: float
    whole_row: bool | None
    median_us: float | None
    evidence: str


def while_valid(touches: NDArray[np.void], exchange: Exchange) -> NDArray[np.void]:
    """Return the touches until the last context was freed; the memory is somebody else's after that."""
    freed = starts(exchange.calls[exchange.named("llama_free")])
    decoded = starts(exchange.calls[exchange.named(*DECODES)])
    later = freed[freed > decoded.max()] if len(decoded) else freed[:0]
    valid: NDArray[np.void] = touches[starts(touches) < later.min()] if len(later) else touches
    return valid


def without_repeats(touches: NDArray[np.void], text: Callable[[int], bytes]) -> NDArray[np.void]:
    """Return the touches with each of memcpy's once.

    glibc's memmove loads the first vector for all sizes, and copies with ``rep movsb`` from the destination's next
    cache line on where the CPU does that fast (sysdeps/x86_64/multiarch/memmove-vec-unaligned-erms.S). There every
    byte is a touch, and where the destination begins with a cache line the first vector is read twice.
    """
    libc = [
        reference
        for reference in np.unique(touches["text"]).tolist()
        if PurePosixPath(text(reference).decode("utf-8", "replace")).name.startswith(LIBC)
    ]
    keep = np.ones(len(touches), dtype=bool)
    for tid in np.unique(touches["tid"]):
        rows = np.flatnonzero(touches["tid"] == tid)
        mine = touches[rows]
        same = np.isin(mine["text"][1:], libc)
        for name in ("nr", "text", "text2"):
            same &= mine[name][1:] == mine[name][:-1]
        places = mine["args"][:, 1].astype(np.int64)
        same &= np.abs(np.diff(places)) < ONE_FUNCTION
        keep[rows[1:]] = ~same
    return touches[keep]


Key = tuple[How, str, str]


def groups_of(
    touches: NDArray[np.void], exchange: Exchange, text: Callable[[int], bytes]
) -> dict[Key, NDArray[np.void]]:
    """Return the touches by what was done, by which library and who called that.

    In a call into llama.cpp it is llama.cpp that touches, also where it is linked into an extension module;
    unless it calls back into Python.
    """
    own = np.full(len(touches), How.WRITTEN)
    own[_inside(touches, _named(exchange, SAMPLERS))] = How.SAMPLER
    own[_inside(touches, _named(exchange, RESTORES))] = How.RESTORED
    called_in = _inside(touches, exchange.calls[outermost(exchange.calls) & timed(exchange.calls)])
    keys = []
    for reader, caller, use, inside in zip(
        touches["text"].tolist(), touches["text2"].tolist(), own.tolist(), called_in.tolist(), strict=True
    ):
        library = text(reader).decode("utf-8", "backslashreplace")
        called = text(caller).decode("utf-8", "backslashreplace")
        of_engine = inside and not any(name in library + called for name in PYTHONS)
        keys.append((use, library, "") if of_engine else _use(library, called, use))
    found: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return {_whole(key, touches[rows]): touches[rows] for key, rows in found.items()}


def _use(library: str, caller: str, own: How) -> Key:
    """``own``: what it is when llama.cpp does it."""
    name, called = PurePosixPath(library).name, PurePosixPath(caller).name
    if name.startswith(ENGINE):
        return own, library, ""
    if name.startswith(LIBC):
        if called.startswith(ENGINE):
            return own, library, caller
        return (How.NUMPY_COPY if "_multiarray_umath" in called else How.MEMORY_COPY), library, caller
    return (How.LIST if name.startswith("_ctypes.") else How.IN_PLACE), library, ""


def _whole(key: Key, rows: NDArray[np.void]) -> Key:
    """Ctypes reads single floats in the same way as all of them: the last one tells."""
    single = key[0] is How.LIST and not (rows["nr"] == LAST).any()
    return (How.ELEMENTS if single else key[0]), key[1], key[2]


def _named(exchange: Exchange, names: tuple[str, ...]) -> NDArray[np.void]:
    calls: NDArray[np.void] = exchange.calls[exchange.named(*names) & timed(exchange.calls)]
    return calls


def _inside(records: NDArray[np.void], calls: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which records happened in one of these calls on the same thread."""
    result = np.zeros(len(records), dtype=bool)
    for tid in np.unique(calls["tid"]):
        mine = calls[calls["tid"] == tid]
        rows = np.flatnonzero(records["tid"] == tid)
        moments = starts(records[rows])
        index = np.searchsorted(starts(mine), moments, "right") - 1
        result[rows] = (index >= 0) & (moments <= ends(mine)[np.maximum(index, 0)])
    return result


def reader_of(key: Key, rows: NDArray[np.void], tokens: int, last_watched: bool, unit: str) -> Reader:
    """Return one reader; ``tokens`` is how often the buffer was written, ``unit`` what that is called."""
    how, library, caller = key
    first = int((rows["nr"] == FIRST).sum())
    last = int((rows["nr"] == LAST).sum())
    spans = _spans(rows)
    who = PurePosixPath(library).name
    if caller:
        who += f", called by {PurePosixPath(caller).name},"
    evidence = f"{who} touched the first float {first} times"
    evidence += f" and the last one {last} times" if last_watched else "; the last one wasn't watched"
    return Reader(
        how=how,
        library=library,
        caller=caller,
        touches=first,
        per_token=first / tokens if tokens else 0.0,
        whole_row=(last > 0) if last_watched else None,
        median_us=float(np.median(spans)) / 1e3 if len(spans) else None,
        evidence=f"{evidence} in {tokens} {unit}",
    )


def _spans(rows: NDArray[np.void]) -> IntArray:
    """Return ns from each touch of the first float to the last one's, where that follows on the thread."""
    found: list[int] = []
    for tid in np.unique(rows["tid"]):
        mine = rows[rows["tid"] == tid]
        moments = starts(mine)
        pairs = (mine["nr"][:-1] == FIRST) & (mine["nr"][1:] == LAST)
        found += (moments[1:] - moments[:-1])[pairs].tolist()
    return np.array(found, np.int64)
