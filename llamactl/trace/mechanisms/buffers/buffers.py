"""Who reads the buffers that llama.cpp hands out, whether they are copied, and what that costs per token.

The evidence are touches of the first and the last float (WATCH records): which library's code did it, and for
libc's memcpy which library called it. A touch of both ends means that the whole buffer was read; the time
between them is what it took. x86 doesn't tell reads from writes, so what llama.cpp's own code touches outside
of its samplers counts as writing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.mechanisms.buffers.buffer_readers import (
    How,
    Reader,
    groups_of,
    reader_of,
    while_valid,
    without_repeats,
)
from llamactl.trace.mechanisms.interface.crossings import FLOAT_BYTES
from llamactl.trace.mechanisms.interface.exchange import Exchange, ends, finished, outermost, starts
from llamactl.trace.mechanisms.requests.requests import DECODES

BUFFERS = ("logits", "embeddings", "state")
"""WATCH records of buffer n have the numbers 2n for its first and 2n + 1 for its last float."""
EMBEDDINGS = ("llama_get_embeddings", "llama_get_embeddings_ith", "llama_get_embeddings_seq")
STATE = ("llama_state_get_data",)
ENDS = 2
FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Subject:
    """What a buffer's life is made of.

    Attributes:
        makers: Functions of which each call writes it anew.
        askers: Functions that hand it out; without asking again it is stale once it was written anew.
        unit: What a writing is called.
    """

    makers: tuple[str, ...]
    askers: tuple[str, ...]
    unit: str


SUBJECTS = {
    "logits": Subject(DECODES, LOGITS, "decodes"),
    "embeddings": Subject((*DECODES, "llama_encode"), EMBEDDINGS, "decodes"),
    "state": Subject(STATE, (), "states"),
}


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
class Buffer:
    """What was seen of a buffer: the logits, embeddings, or a copy of the state.

    Attributes:
        name: One of ``BUFFERS``.
        address: In the program; None when it never asked for it.
        row_bytes: Its size, of one row; None when that isn't known.
        tokens: How often it was written anew while it was watched: decodes, or states. Where a decode writes several
            rows that are handed out one by one, rows.
        readers: By touches, the busiest first; writing by llama.cpp included.
        verdict: The costliest use.
        copied_bytes_per_token: None when unknown.
        copy_us_per_token: Time of copies, median; None when unknown or nothing is copied.
        stale_reads: Touches after a later decode had begun, without asking for the row again.
        refused: Why nothing could be watched; empty otherwise.
    """

    name: str
    address: int | None
    row_bytes: int | None
    tokens: int
    readers: tuple[Reader, ...]
    verdict: Verdict
    copied_bytes_per_token: float | None
    copy_us_per_token: float | None
    stale_reads: int
    refused: str = ""


COSTS = (
    (How.LIST, Verdict.LIST_COPY),
    (How.NUMPY_COPY, Verdict.NUMPY_COPY),
    (How.MEMORY_COPY, Verdict.MEMORY_COPY),
    (How.IN_PLACE, Verdict.VIEWED),
    (How.ELEMENTS, Verdict.VIEWED),
    (How.SAMPLER, Verdict.SAMPLER),
    (How.RESTORED, Verdict.SAMPLER),
)
OWN = (How.WRITTEN, How.SAMPLER, How.RESTORED)
COPIES = (How.LIST, How.NUMPY_COPY, How.MEMORY_COPY)


def watched_buffer(
    touches: NDArray[np.void],
    exchange: Exchange,
    watch: Mapping[str, Any],
    text: Callable[[int], bytes],
) -> Buffer:
    """Return who read a buffer.

    Args:
        touches: WATCH records.
        exchange: The calls of the same capture.
        watch: The capture's metadata "watch", or one of its "others".
        text: Returns a string by reference.
    """
    name = str(watch.get("buffer", BUFFERS[0]))
    subject = SUBJECTS[name]
    floats = watch.get("floats")
    row_bytes = watch.get("bytes") or (None if floats is None else int(floats) * FLOAT_BYTES)
    written, until = _written(exchange, subject, watch)
    touches = _of_buffer(touches, BUFFERS.index(name))
    touches = touches[starts(touches) < until]
    if subject.askers:
        touches = while_valid(np.sort(touches, order="start"), exchange)
    else:
        touches = _first_use(np.sort(touches, order="start"), exchange, subject)
    touches = without_repeats(touches, text)
    tokens = max(len(written), _handed_out(exchange, subject, written, until))
    unit = subject.unit if tokens == len(written) else "rows"
    groups = groups_of(touches, exchange, text)
    last_watched = bool(watch.get("last_watched"))
    readers = sorted(
        (reader_of(key, rows, tokens, last_watched, unit) for key, rows in groups.items()),
        key=lambda reader: -reader.touches,
    )
    copies = [reader for reader in readers if reader.how in COPIES]
    times = [reader.median_us * reader.per_token for reader in copies if reader.median_us is not None]
    foreign = [rows for key, rows in groups.items() if key[0] not in OWN]
    return Buffer(
        name=name,
        address=watch.get("address"),
        row_bytes=row_bytes,
        tokens=tokens,
        readers=tuple(readers),
        verdict=_verdict(readers, tokens, bool(watch.get("address"))),
        copied_bytes_per_token=None if row_bytes is None else row_bytes * sum(r.per_token for r in copies),
        copy_us_per_token=sum(times) if times and len(times) == len(copies) else None,
        stale_reads=sum(_stale(rows, exchange, subject) for rows in foreign),
        refused=watch.get("refused") or "",
    )


def _of_buffer(touches: NDArray[np.void], number: int) -> NDArray[np.void]:
    mine: NDArray[np.void] = touches[touches["nr"] // ENDS == number].copy()
    mine["nr"] %= ENDS
    return mine


def _first_use(touches: NDArray[np.void], exchange: Exchange, subject: Subject) -> NDArray[np.void]:
    """Return what the first reader after each writing did.

    The program's own memory may be freed and somebody else's a moment later, which nothing tells.
    """
    calls = exchange.calls[exchange.named(*subject.makers) & finished(exchange.calls)]
    moments = starts(touches)
    keep = np.zeros(len(touches), dtype=bool)
    for low, high in zip(ends(calls), [*starts(calls)[1:], FOREVER], strict=True):
        rows = np.flatnonzero((moments >= low) & (moments < high))
        readers = touches[["tid", "text", "text2"]][rows]
        other = np.flatnonzero(readers != readers[:1]) if len(rows) else rows
        keep[rows[: other[0]] if len(other) else rows] = True
    found: NDArray[np.void] = touches[keep]
    return found


def _written(exchange: Exchange, subject: Subject, watch: Mapping[str, Any]) -> tuple[IntArray, int]:
    """Return when the buffer was written while it was watched, and until when touches count.

    Where watching began as it was handed out, what had been written before that counts, too. Where it ended
    by itself, the last writing and what was read of it don't: it was seen in part.
    """
    since, until = watch.get("since_ns"), watch.get("until_ns") or FOREVER
    if since is None:
        return np.empty(0, np.int64), until
    moments = np.sort(starts(exchange.calls[exchange.named(*subject.makers) & outermost(exchange.calls)]))
    first = int(np.searchsorted(moments, since))
    first -= bool(watch.get("asked")) and first > 0
    written = moments[first : int(np.searchsorted(moments, until))]
    if until != FOREVER and len(written) > 1:
        return written[:-1], int(written[-1])
    return written, until


def _handed_out(exchange: Exchange, subject: Subject, written: IntArray, until: int) -> int:
    """Return how many rows were handed out while the buffer was watched; one that is asked for again counts once."""
    if not len(written):
        return 0
    calls = exchange.calls[exchange.named(*subject.askers) & finished(exchange.calls)]
    asked = starts(calls)
    calls = calls[(calls["ret"] != 0) & (asked >= written[0]) & (asked < until)]
    rows = np.stack([np.searchsorted(written, starts(calls), "right"), calls["ret"]])
    return int(np.unique(rows, axis=1).shape[1]) if len(calls) else 0


def _verdict(readers: list[Reader], tokens: int, armed: bool) -> Verdict:
    if not armed or not tokens:
        return Verdict.UNKNOWN
    for how, verdict in COSTS:
        # A use by chance, such as a debugger's, isn't what the program does with its tokens.
        if any(reader.how is how and reader.per_token >= 0.5 for reader in readers):
            return verdict
    return Verdict.NOT_READ


def _stale(rows: NDArray[np.void], exchange: Exchange, subject: Subject) -> int:
    """Return how many touches used a row that a later decode had made invalid."""
    if not subject.askers:
        return 0
    asked = np.sort(ends(exchange.calls[exchange.named(*subject.askers) & finished(exchange.calls)]))
    decoded = np.sort(starts(exchange.calls[exchange.named(*subject.makers)]))
    moments = starts(rows)
    return int((_latest(decoded, moments) > _latest(asked, moments)).sum())


def _latest(events: IntArray, moments: IntArray) -> IntArray:
    """Return the last event before each moment; 0 for none."""
    padded = np.concatenate([[0], events]).astype(np.int64)
    result: IntArray = padded[np.searchsorted(events, moments, "right")]
    return result
