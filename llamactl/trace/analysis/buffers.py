"""Who reads the logits, whether they are copied, and what that costs per token.

The evidence are touches of the first and the last float of the row (WATCH records): which library's code
did it, and for libc's memcpy which library called it. A touch of both ends means that the whole row was
read; the time between them is what it took. x86 doesn't tell reads from writes, so what llama.cpp's own
code touches outside of its samplers counts as writing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.crossings import DECODES, LOGITS
from llamactl.trace.analysis.exchange import Exchange, IntArray, ends, finished, outermost, starts

FIRST, LAST = 0, 1
FLOAT_BYTES = 4
ENGINE = ("libllama", "libggml", "libmtmd")
LIBC = ("libc.so", "libc-", "libc.musl", "ld-musl")
SAMPLERS = ("llama_sampler_sample", "llama_sampler_apply")


class How(Enum):
    """How a reader uses the row."""

    LIST = "each float becomes a Python object"
    NUMPY_COPY = "copied into an array by memcpy"
    MEMORY_COPY = "copied by memcpy"
    IN_PLACE = "read where it lies"
    SAMPLER = "read by llama.cpp's sampler"
    ELEMENTS = "single floats are read as Python objects"
    WRITTEN = "written by llama.cpp"


class Verdict(Enum):
    """What becomes of the logits on their way to Python."""

    LIST_COPY = "list copy"
    NUMPY_COPY = "numpy copy"
    MEMORY_COPY = "memory copy"
    VIEWED = "viewed"
    SAMPLER = "not read by Python"
    NOT_READ = "not read"
    UNKNOWN = "unknown"


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


@dataclass(frozen=True, slots=True)
class Buffer:
    """What was seen of the logits.

    Attributes:
        address: In the program; None when it never asked for them.
        row_bytes: Size of a row; None when the vocabulary's size isn't known.
        tokens: Decodes since they were watched.
        readers: By touches, the busiest first; writing by llama.cpp included.
        verdict: The costliest use.
        copied_bytes_per_token: None when unknown.
        copy_us_per_token: Time of copies, median; None when unknown or nothing is copied.
        stale_reads: Touches after a later decode had begun, without asking for the row again.
        refused: Why nothing could be watched; empty otherwise.
    """

    address: int | None
    row_bytes: int | None
    tokens: int
    readers: tuple[Reader, ...]
    verdict: Verdict
    copied_bytes_per_token: float | None
    copy_us_per_token: float | None
    stale_reads: int
    refused: str = ""


ONE_FUNCTION = 4096
"""Instructions of libc no further apart than this are taken for one function's; memmove has 2 KiB."""

COSTS = (
    (How.LIST, Verdict.LIST_COPY),
    (How.NUMPY_COPY, Verdict.NUMPY_COPY),
    (How.MEMORY_COPY, Verdict.MEMORY_COPY),
    (How.IN_PLACE, Verdict.VIEWED),
    (How.ELEMENTS, Verdict.VIEWED),
    (How.SAMPLER, Verdict.SAMPLER),
)
COPIES = (How.LIST, How.NUMPY_COPY, How.MEMORY_COPY)


def logits_buffer(
    touches: NDArray[np.void],
    exchange: Exchange,
    watch: Mapping[str, Any],
    text: Callable[[int], bytes],
) -> Buffer:
    """Return who read the logits.

    Args:
        touches: WATCH records.
        exchange: The calls of the same capture.
        watch: The capture's metadata "watch".
        text: Returns a string by reference.
    """
    floats, since = watch.get("floats"), watch.get("since_ns")
    row_bytes = None if floats is None else int(floats) * FLOAT_BYTES
    touches = _while_valid(np.sort(touches, order="start"), exchange)
    touches = _without_repeats(touches, text)
    decodes = exchange.calls[exchange.named(*DECODES) & outermost(exchange.calls)]
    tokens = int((starts(decodes) >= since).sum()) if since is not None else 0
    groups = _groups(touches, exchange, text)
    last_watched = bool(watch.get("last_watched"))
    readers = sorted(
        (_reader(key, rows, tokens, last_watched) for key, rows in groups.items()),
        key=lambda reader: -reader.touches,
    )
    verdict = _verdict(readers, tokens, bool(watch.get("address")))
    copies = [reader for reader in readers if reader.how in COPIES]
    times = [reader.median_us * reader.per_token for reader in copies if reader.median_us is not None]
    foreign = [rows for key, rows in groups.items() if key[0] not in (How.WRITTEN, How.SAMPLER)]
    return Buffer(
        address=watch.get("address"),
        row_bytes=row_bytes,
        tokens=tokens,
        readers=tuple(readers),
        verdict=verdict,
        copied_bytes_per_token=None if row_bytes is None else row_bytes * sum(r.per_token for r in copies),
        copy_us_per_token=sum(times) if times and len(times) == len(copies) else None,
        stale_reads=sum(_stale(rows, exchange) for rows in foreign),
        refused=watch.get("refused") or "",
    )


def _while_valid(touches: NDArray[np.void], exchange: Exchange) -> NDArray[np.void]:
    """Return the touches until the last context was freed; the memory is somebody else's after that."""
    freed = starts(exchange.calls[exchange.named("llama_free")])
    decoded = starts(exchange.calls[exchange.named(*DECODES)])
    later = freed[freed > decoded.max()] if len(decoded) else freed[:0]
    valid: NDArray[np.void] = touches[starts(touches) < later.min()] if len(later) else touches
    return valid


def _without_repeats(touches: NDArray[np.void], text: Callable[[int], bytes]) -> NDArray[np.void]:
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


def _groups(
    touches: NDArray[np.void], exchange: Exchange, text: Callable[[int], bytes]
) -> dict[Key, NDArray[np.void]]:
    sampling = _inside(touches, exchange, SAMPLERS)
    keys = []
    for reader, caller, sampled in zip(
        touches["text"].tolist(), touches["text2"].tolist(), sampling.tolist(), strict=True
    ):
        library = text(reader).decode("utf-8", "backslashreplace")
        called = text(caller).decode("utf-8", "backslashreplace")
        keys.append(_use(library, called, sampled))
    found: dict[Key, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return {_whole(key, touches[rows]): touches[rows] for key, rows in found.items()}


def _use(library: str, caller: str, sampled: bool) -> Key:
    name, called = PurePosixPath(library).name, PurePosixPath(caller).name
    if name.startswith(ENGINE):
        return (How.SAMPLER if sampled else How.WRITTEN), library, ""
    if name.startswith(LIBC):
        if called.startswith(ENGINE):
            return (How.SAMPLER if sampled else How.WRITTEN), library, caller
        return (How.NUMPY_COPY if "_multiarray_umath" in called else How.MEMORY_COPY), library, caller
    return (How.LIST if name.startswith("_ctypes.") else How.IN_PLACE), library, ""


def _whole(key: Key, rows: NDArray[np.void]) -> Key:
    """Ctypes reads single floats in the same way as all of them: the last one tells."""
    single = key[0] is How.LIST and not (rows["nr"] == LAST).any()
    return (How.ELEMENTS if single else key[0]), key[1], key[2]


def _inside(records: NDArray[np.void], exchange: Exchange, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which records happened in a call of these functions on the same thread."""
    result = np.zeros(len(records), dtype=bool)
    calls = exchange.calls[exchange.named(*names) & finished(exchange.calls)]
    for tid in np.unique(calls["tid"]):
        mine = calls[calls["tid"] == tid]
        rows = np.flatnonzero(records["tid"] == tid)
        moments = starts(records[rows])
        index = np.searchsorted(starts(mine), moments, "right") - 1
        result[rows] = (index >= 0) & (moments <= ends(mine)[np.maximum(index, 0)])
    return result


def _reader(key: Key, rows: NDArray[np.void], tokens: int, last_watched: bool) -> Reader:
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
        evidence=f"{evidence} in {tokens} decodes",
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


def _verdict(readers: list[Reader], tokens: int, armed: bool) -> Verdict:
    if not armed or not tokens:
        return Verdict.UNKNOWN
    for how, verdict in COSTS:
        # A use by chance, such as a debugger's, isn't what the program does with its tokens.
        if any(reader.how is how and reader.per_token >= 0.5 for reader in readers):
            return verdict
    return Verdict.NOT_READ


def _stale(rows: NDArray[np.void], exchange: Exchange) -> int:
    """Return how many touches used a row that a later decode had made invalid."""
    asked = np.sort(ends(exchange.calls[exchange.named(*LOGITS) & finished(exchange.calls)]))
    decoded = np.sort(starts(exchange.calls[exchange.named(*DECODES)]))
    moments = starts(rows)
    return int((_latest(decoded, moments) > _latest(asked, moments)).sum())


def _latest(events: IntArray, moments: IntArray) -> IntArray:
    """Return the last event before each moment; 0 for none."""
    padded = np.concatenate([[0], events]).astype(np.int64)
    result: IntArray = padded[np.searchsorted(events, moments, "right")]
    return result
