"""Calls into llama.cpp by function, and what each token costs in crossings, bytes and microseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.engine_calls import COMPUTE, LOADS, LOGITS, VOCABULARY
from llamactl.trace.capture.record import Flag
from llamactl.trace.mechanisms.interface.batches import batches
from llamactl.trace.mechanisms.interface.callbacks import callback_rows, lie_in, python_inside
from llamactl.trace.mechanisms.interface.exchange import (
    Exchange,
    Place,
    durations,
    finished,
    outermost,
    starts,
    timed,
)
from llamactl.trace.mechanisms.interface.model_tensors import vocabulary_of
from llamactl.trace.mechanisms.requests.requests import Decodes, decodes_of

LEAST_SAMPLES, SURE_SHARE = 16, 0.5
"""The agent looks for the caller of a cheap call once in 64 times: fewer samples than this don't tell the busiest."""
CALLED_BACK_SHARE = 0.05
"""What llama.cpp calls back of Python is told apart from this share of Python on."""
FLOAT_BYTES = 4
TOKEN_BYTES = 4


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """One function of llama.cpp as the program called it; durations are None when nothing is known of any.

    ``unfinished`` calls have no end; those that were open at the end of the recording count up to there.
    """

    name: str
    count: int
    unfinished: int
    total_ns: int | None
    mean_ns: float | None
    max_ns: int | None
    gil_held: int
    gil_released: int
    gil_unknown: int
    inner: int
    """Calls of an extension module to the llama.cpp inside it: no crossings from Python."""
    without_record: int
    """Calls among ``count`` that were only counted, with their time, since the ring was filling."""
    python_ns: int
    """Of ``total_ns``: in Python that the function called back (a logits processor), waits for the GIL included."""
    awaited_ns: int
    """Of ``total_ns``: waiting for what a decode had started on a device, which is the decode's work."""
    libraries: tuple[str, ...]
    places: tuple[Place, ...]
    """(file, line, function) of the Python code that called, the most frequent three."""
    callers: tuple[Place, ...]
    """Where that was called from outside of all installed packages, likewise; empty where it is the same, and where
    too few calls were looked at to tell the busiest."""

    @property
    def called_at(self) -> Place | None:
        """The busiest place: the program's own line where the call went through an installed package."""
        return next(iter((*self.callers, *self.places)), None)


def function_rows(exchange: Exchange) -> list[FunctionRow]:
    """Return one row per name, those that took longest first."""
    seen = {*np.unique(exchange.calls["nr"]).tolist(), *exchange.counted}
    names = sorted({exchange.functions[nr].name for nr in seen})
    inside = {row.name: row.total_ns for row in callback_rows(exchange, None)}
    rows = [_row(exchange, name, inside.get(name, 0)) for name in names]
    return sorted(rows, key=lambda row: (-(row.total_ns or 0), -row.count, row.name))


def _row(exchange: Exchange, name: str, python_ns: int) -> FunctionRow:
    mine = exchange.named(name)
    calls = exchange.calls[mine]
    done = calls[timed(calls)]
    numbers = [nr for nr, function in enumerate(exchange.functions) if function.name == name]
    counted = [exchange.counted[nr] for nr in numbers if nr in exchange.counted]
    without, without_ns = sum(count for count, _ in counted), sum(ns for _, ns in counted)
    total = int(done["duration"].sum()) + without_ns if len(done) or without else None
    used = {*np.unique(calls["nr"]).tolist(), *exchange.counted}
    libraries = {exchange.functions[nr].library for nr in numbers if nr in used}
    return FunctionRow(
        name=name,
        count=len(calls) + without,
        unfinished=int((~finished(calls)).sum()),
        total_ns=total,
        mean_ns=None if total is None else total / (len(done) + without),
        max_ns=int(done["duration"].max()) if len(done) else None,
        gil_held=count_flag(calls, Flag.GIL_HELD),
        gil_released=count_flag(calls, Flag.GIL_RELEASED),
        gil_unknown=int(((calls["flags"] & int(Flag.GIL_HELD | Flag.GIL_RELEASED)) == 0).sum()) + without,
        inner=count_flag(calls, Flag.INNER),
        without_record=without,
        python_ns=python_ns,
        awaited_ns=int(exchange.awaited.by_waiter(exchange.calls)[mine].sum()),
        libraries=tuple(sorted(libraries)),
        places=_places(exchange.place, calls),
        callers=_callers(exchange, calls),
    )


def count_flag(calls: NDArray[np.void], flag: int) -> int:
    """Return how many of the calls have the flag."""
    return int(((calls["flags"] & int(flag)) != 0).sum())


def _callers(exchange: Exchange, calls: NDArray[np.void]) -> tuple[Place, ...]:
    """Return the places outside of packages, unless they are of a few samples of many calls."""
    references, counts = np.unique(calls["text2"], return_counts=True)
    seen = sum(
        count
        for reference, count in zip(references.tolist(), counts.tolist(), strict=True)
        if exchange.caller(reference) is not None
    )
    if seen < LEAST_SAMPLES and seen < SURE_SHARE * len(calls):
        return ()
    return _places(exchange.caller, calls)


def _places(place_of: Callable[[int], Place | None], calls: NDArray[np.void]) -> tuple[Place, ...]:
    references, counts = np.unique(calls["text2"], return_counts=True)
    found: dict[Place, int] = {}
    for reference, count in zip(references.tolist(), counts.tolist(), strict=True):
        place = place_of(reference)
        if place is not None:
            found[place] = found.get(place, 0) + count
    return tuple(sorted(found, key=lambda place: -found[place])[:3])


@dataclass(frozen=True)
class Tokens:
    """One row per generated token, as arrays: from one decode's start to the next one's.

    A step is a decode that another one of the same thread and context follows. A decode of several tokens of
    one sequence is a prompt and isn't counted; nor is the last token before a prompt: what follows it is the
    wait for the next request. A batch with one token of each of several sequences is one step. What happens on
    other threads isn't the token's.

    Attributes:
        start: Start of the decode, ns.
        length_ns: Until the next decode of the same thread and context.
        decode_ns: In the decode, with what other calls waited for its result.
        awaited_ns: Of ``decode_ns``: in those other calls. A device computes what a decode has only started.
        in_c_ns: In llama.cpp, the decode included; without the Python that it calls back.
        gil_wait_ns: Waiting for the GIL.
        python_ns: The rest: Python, also what llama.cpp calls back (a logits processor), the binding, and waiting
            for anything else.
        crossings: Calls into llama.cpp.
        bytes: Bytes that llama.cpp was handed or offered: tokens in, rows of logits, text; None when
            logits were asked for and the vocabulary's size was never seen.
        called_back_ns: Of ``python_ns`` and ``gil_wait_ns``: what llama.cpp called back in the middle of a call.
        tid: The thread.
        index: Index of the decode in ``exchange.calls``.
        batch: Tokens in the decode's batch, -1 where that isn't known.
    """

    start: IntArray
    length_ns: IntArray
    decode_ns: IntArray
    awaited_ns: IntArray
    in_c_ns: IntArray
    gil_wait_ns: IntArray
    python_ns: IntArray
    crossings: IntArray
    bytes: IntArray | None
    called_back_ns: IntArray
    tid: IntArray
    index: IntArray
    batch: IntArray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def in_call_ns(self) -> IntArray:
        """In the call of the decode itself."""
        return self.decode_ns - self.awaited_ns


def tokens(exchange: Exchange, decodes: Decodes | None = None, still_open: bool = False) -> Tokens:
    """Cut the recording into tokens and add up what belongs to each.

    Args:
        exchange: The calls.
        decodes: Which decodes make tokens, where that is known already.
        still_open: Take a decode that was open at the end, too, as far as it was seen.
    """
    steps, lengths = _steps(exchange, decodes or decodes_of(exchange), still_open)
    calls = exchange.calls
    start = starts(calls[steps])
    tid = calls["tid"][steps].astype(np.int64)
    outer = outermost(calls)
    own = np.flatnonzero(outer)
    waits = exchange.gil[(exchange.gil["nr"] == 1) & timed(exchange.gil) & (exchange.gil["args"][:, 0] == 0)]
    inside = python_inside(exchange)
    waits = np.concatenate([waits[~lie_in(waits, inside.outermost)], inside.waits])
    crossed = np.concatenate([calls[own], inside.calls])
    in_c = sums_by_token(start, lengths, tid, crossed, durations(crossed))
    called = sums_by_token(start, lengths, tid, inside.callbacks, durations(inside.callbacks))
    in_c -= called
    waited = sums_by_token(start, lengths, tid, waits, durations(waits))
    transferred = _bytes_of_calls(exchange)
    awaited = exchange.awaited.by_decode(calls)[steps]
    return Tokens(
        start=start,
        length_ns=lengths,
        decode_ns=durations(calls[steps]) + awaited,
        awaited_ns=awaited,
        in_c_ns=in_c,
        gil_wait_ns=waited,
        python_ns=np.maximum(lengths - in_c - waited - _around(exchange, start, lengths, tid), 0),
        crossings=sums_by_token(start, lengths, tid, crossed, np.ones(len(crossed), np.int64)),
        bytes=None if transferred is None else sums_by_token(start, lengths, tid, calls, transferred),
        called_back_ns=called,
        tid=tid,
        index=steps,
        batch=batches(exchange, calls[steps]).tokens,
    )


def _around(exchange: Exchange, start: IntArray, lengths: IntArray, tid: IntArray) -> IntArray:
    """Return what recording cost in each token, outside of what was recorded."""
    if not exchange.around_ns:
        return np.zeros(len(start), np.int64)
    cost = round(exchange.around_ns)
    calls, gil = exchange.calls, exchange.gil
    return sums_by_token(start, lengths, tid, calls, np.full(len(calls), cost)) + sums_by_token(
        start, lengths, tid, gil, np.full(len(gil), cost)
    )


def _steps(exchange: Exchange, decodes: Decodes, still_open: bool) -> tuple[IntArray, IntArray]:
    """Return the decodes of a token that another such decode follows, and the time until that one.

    The last token of an answer isn't counted: what follows it is the next request, whenever that comes.
    """
    calls = exchange.calls[decodes.index]
    context = exchange.argument(calls, "context")
    group = np.zeros(len(calls), np.int64) if context is None else context
    steps: list[int] = []
    lengths: list[int] = []
    last: dict[tuple[int, int], int] = {}
    begin = starts(calls)
    for position in range(len(calls)):
        key = (int(calls["tid"][position]), int(group[position]))
        before = last.get(key)
        if before is not None and not decodes.prompt[before] and not decodes.prompt[position]:
            steps.append(int(decodes.index[before]))
            lengths.append(int(begin[position] - begin[before]))
        last[key] = position
    if still_open:
        open_rows = ~finished(calls) & timed(calls) & ~decodes.prompt
        more = [position for position in last.values() if open_rows[position]]
        steps += decodes.index[more].tolist()
        lengths += durations(calls[more]).tolist()
    order = np.argsort(np.array(steps, np.int64), kind="stable")
    return np.array(steps, np.int64)[order], np.array(lengths, np.int64)[order]


def sums_by_token(
    start: IntArray, length: IntArray, tid: IntArray, records: NDArray[np.void], values: IntArray
) -> IntArray:
    """Add up ``values`` of the records that begin within [start, start + length) on the same thread."""
    result = np.zeros(len(start), np.int64)
    for thread in np.unique(tid):
        mine = records["tid"] == thread
        moments = starts(records[mine])
        order = np.argsort(moments, kind="stable")
        total = np.concatenate([[0], np.cumsum(values[mine][order])])
        rows = np.flatnonzero(tid == thread)
        low = np.searchsorted(moments[order], start[rows], "left")
        high = np.searchsorted(moments[order], start[rows] + length[rows], "left")
        result[rows] = total[high] - total[low]
    return result


def vocabulary_size(exchange: Exchange) -> int | None:
    """Return the vocabulary's size: what llama.cpp answered, or else what the model's file says.

    None when the program neither asked nor loaded a model whose file can still be read, and when there are
    several models of different sizes.
    """
    asked = exchange.calls[exchange.named(*VOCABULARY) & finished(exchange.calls)]
    sizes = set(asked["ret"][asked["ret"] > 0].tolist())
    if not sizes:
        loaded = exchange.calls[exchange.named(*LOADS) & finished(exchange.calls)]
        paths = {exchange.text(int(reference)) for reference in loaded["text"][loaded["ret"] != 0]}
        sizes = {size for path in paths if path and (size := vocabulary_of(path)) is not None}
    return int(sizes.pop()) if len(sizes) == 1 else None


def _bytes_of_calls(exchange: Exchange) -> IntArray | None:
    calls = exchange.calls
    result = np.zeros(len(calls), np.int64)
    logits = exchange.named(*LOGITS) & (calls["ret"] != 0)
    size = vocabulary_size(exchange)
    if logits.any():
        if size is None:
            return None
        result[logits] = size * FLOAT_BYTES
    decodes = exchange.named(*COMPUTE)
    result[decodes] = np.maximum(batches(exchange, calls[decodes]).tokens, 0) * TOKEN_BYTES
    pieces = exchange.named("llama_token_to_piece", "llama_detokenize")
    result[pieces] = np.maximum(calls["ret"][pieces], 0)
    return result


@dataclass(frozen=True, slots=True)
class PerToken:
    """Averages over the tokens; all None when there are none.

    ``batch_tokens`` is the tokens in a decode: 1, or as many as requests were under way; None where one of the
    decodes doesn't tell. ``awaited_us`` is the part of ``decode_us`` that passed in other calls, which waited for what
    a device computed. ``called_back_us`` is Python that llama.cpp called in the middle of a call; it is part of
    ``python_us`` and ``gil_wait_us``.
    """

    tokens: int
    batch_tokens: float | None
    crossings: float | None
    bytes: float | None
    in_c_us: float | None
    decode_us: float | None
    awaited_us: float | None
    python_us: float | None
    called_back_us: float | None
    gil_wait_us: float | None
    median_us: float | None

    @property
    def calls_back_notably(self) -> bool:
        """Whether Python that llama.cpp calls is so much that it is worth a word."""
        return bool(self.called_back_us) and (self.called_back_us or 0) >= CALLED_BACK_SHARE * (
            self.python_us or 0
        )


def times_known(exchange: Exchange, rows: Tokens) -> bool:
    """Tell whether the tokens' decodes have an end; caught by entries alone they have none."""
    return bool(timed(exchange.calls[rows.index]).all())


def per_token(rows: Tokens, timed: bool = True) -> PerToken:
    """Return what a token costs on average; without ``timed`` nothing is known of the time inside calls."""
    if not len(rows):
        return PerToken(0, None, None, None, None, None, None, None, None, None, None)
    batch = float(rows.batch.mean()) if (rows.batch > 0).all() else None
    if not timed:
        known = None if rows.bytes is None else float(rows.bytes.mean())
        median = float(np.median(rows.length_ns)) / 1e3
        crossings = float(rows.crossings.mean())
        return PerToken(len(rows), batch, crossings, known, None, None, None, None, None, None, median)
    return PerToken(
        tokens=len(rows),
        batch_tokens=batch,
        crossings=float(rows.crossings.mean()),
        bytes=None if rows.bytes is None else float(rows.bytes.mean()),
        in_c_us=float(rows.in_c_ns.mean()) / 1e3,
        decode_us=float(rows.decode_ns.mean()) / 1e3,
        awaited_us=float(rows.awaited_ns.mean()) / 1e3,
        python_us=float(rows.python_ns.mean()) / 1e3,
        called_back_us=float(rows.called_back_ns.mean()) / 1e3,
        gil_wait_us=float(rows.gil_wait_ns.mean()) / 1e3,
        median_us=float(np.median(rows.length_ns)) / 1e3,
    )
