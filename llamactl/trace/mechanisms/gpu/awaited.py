"""Work that a decode starts on a device and that another call waits for.

On a device ``llama_decode`` returns before anything is computed. Whoever wants the result first waits for it, in
``llama_synchronize``, ``llama_get_logits`` or ``llama_sampler_sample`` (llama.h: "automatically done when using one of
the functions below to obtain the computation results"). That time is the decode's, wherever it passes.

libllama waits in ``ggml_backend_sched_synchronize``, which the agent sees, so waiting and sampling in one call are told
apart. Where that isn't seen (calls caught from outside, an engine in one piece), the first call that hands out the
result is taken for waiting as a whole, if it does nothing else; what a sampler waited then stays the sampler's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.engine_calls import COMPUTE
from llamactl.trace.mechanisms.interface.exchange import (
    AMONG_ENGINE,
    Exchange,
    durations,
    ends,
    finished,
    outermost,
    starts,
    timed,
)

WAIT = "ggml_backend_sched_synchronize"
HANDS_OUT = (
    "llama_synchronize", "llama_get_logits", "llama_get_logits_ith", "llama_get_embeddings",
    "llama_get_embeddings_ith", "llama_get_embeddings_seq", "llama_get_sampled_token_ith",
    "llama_get_sampled_probs_ith", "llama_get_sampled_logits_ith",
)  # fmt: skip
"""What waits for the result and does little else."""
SHARE = 0.05
"""Below this share of the time in decodes nobody waits for a device: handing out a result takes that, too."""


@dataclass(frozen=True)
class Awaited:
    """The waits for decodes, one row each, in the order of time.

    Attributes:
        decode: Index in ``exchange.calls`` of the decode whose result was waited for.
        around: Index in ``exchange.calls`` of the call that waited.
        start: When the wait began, ns.
        ns: How long it took.
        exact: Whether the wait itself was seen; else the whole call is taken for it.
    """

    decode: IntArray
    around: IntArray
    start: IntArray
    ns: IntArray
    exact: bool

    def __len__(self) -> int:
        return len(self.decode)

    def by_decode(self, calls: NDArray[np.void]) -> IntArray:
        """Return for every call how long its result was waited for on its own thread, ns; 0 for other calls."""
        mine = calls["tid"][self.decode] == calls["tid"][self.around]
        found = np.bincount(self.decode[mine], self.ns[mine], minlength=len(calls))
        return found.astype(np.int64)

    def by_waiter(self, calls: NDArray[np.void]) -> IntArray:
        """Return for every call how long it waited for a decode's result, ns."""
        return np.bincount(self.around, self.ns, minlength=len(calls)).astype(np.int64)


def find_awaited(exchange: Exchange) -> Awaited:
    """Return the waits for decodes; none where they are too short to be a device's."""
    decodes = np.flatnonzero(exchange.named(*COMPUTE) & outermost(exchange.calls) & timed(exchange.calls))
    exact = any(one.name == WAIT and one.via == AMONG_ENGINE for one in exchange.functions)
    if not len(decodes):
        return _rows([], exact)
    found = _seen(exchange, decodes) if exact else _first_taken(exchange, decodes)
    spent = int(durations(exchange.calls[decodes]).sum())
    return found if int(found.ns.sum()) > SHARE * spent else _rows([], exact)


def _rows(rows: list[tuple[int, int, int, int]], exact: bool) -> Awaited:
    table = np.array(sorted(rows, key=lambda row: row[2]), np.int64).reshape(-1, 4)
    return Awaited(table[:, 0], table[:, 1], table[:, 2], table[:, 3], exact)


def _seen(exchange: Exchange, decodes: IntArray) -> Awaited:
    """Take the waits themselves, outside of decodes."""
    waits = exchange.among_named(WAIT)
    waits = waits[timed(waits)]
    around = calls_around(exchange, waits)
    inside = np.isin(around, np.flatnonzero(exchange.named(*COMPUTE)))
    kept = (around >= 0) & ~inside
    waits, around = waits[kept], around[kept]
    whose = _decode_before(exchange, decodes, around, starts(waits))
    known = whose >= 0
    rows = zip(
        whose[known].tolist(), around[known].tolist(), starts(waits[known]).tolist(),
        durations(waits[known]).tolist(), strict=True,
    )  # fmt: skip
    return _rows(list(rows), True)


def _first_taken(exchange: Exchange, decodes: IntArray) -> Awaited:
    """Take the first call after each decode that hands its result out."""
    calls = exchange.calls
    takers = np.flatnonzero(exchange.named(*HANDS_OUT) & outermost(calls) & finished(calls))
    whose = _decode_before(exchange, decodes, takers, starts(calls[takers]))
    known = whose >= 0
    _, first = np.unique(whose[known], return_index=True)
    whose, takers = whose[known][first], takers[known][first]
    rows = zip(
        whose.tolist(), takers.tolist(), starts(calls[takers]).tolist(), durations(calls[takers]).tolist(),
        strict=True,
    )  # fmt: skip
    return _rows(list(rows), False)


def calls_around(exchange: Exchange, records: NDArray[np.void]) -> IntArray:
    """Return the index of the outermost call that each record lies in, -1 for none."""
    calls, result = exchange.calls, np.full(len(records), -1, np.int64)
    outer = np.flatnonzero(outermost(calls) & timed(calls))
    for tid in np.unique(records["tid"]).tolist():
        own = outer[calls["tid"][outer] == tid]
        if not len(own):
            continue
        mine = np.flatnonzero(records["tid"] == tid)
        place = np.searchsorted(starts(calls[own]), starts(records[mine]), "right") - 1
        holds = (place >= 0) & (ends(calls[own])[np.maximum(place, 0)] >= ends(records[mine]))
        result[mine[holds]] = own[place[holds]]
    return result


def _decode_before(exchange: Exchange, decodes: IntArray, askers: IntArray, moments: IntArray) -> IntArray:
    """Return the last decode of the asking call's context before each moment, -1 for none.

    A call that doesn't tell its context means the last decode of its thread.
    """
    calls = exchange.calls
    context, asked = _contexts(exchange, calls[decodes]), _contexts(exchange, calls[askers])
    result = np.full(len(askers), -1, np.int64)
    for name, own, wanted in (
        ("pid", context, asked),
        ("tid", np.full(len(decodes), -1, np.int64), np.where(asked == 0, -1, 0)),
    ):
        keys = set(zip(calls[name][askers].tolist(), wanted.tolist(), strict=True))
        for who, key in keys:
            if key == 0:
                continue
            rows = np.flatnonzero((calls[name][askers] == who) & (wanted == key))
            mine = decodes[(calls[name][decodes] == who) & (own == key)]
            place = np.searchsorted(starts(calls[mine]), moments[rows], "right") - 1
            result[rows[place >= 0]] = mine[place[place >= 0]]
    return result


def _contexts(exchange: Exchange, calls: NDArray[np.void]) -> IntArray:
    """Return the contexts of calls, 0 where a function doesn't keep it."""
    result = np.zeros(len(calls), np.int64)
    for nr in np.unique(calls["nr"]).tolist():
        rows = calls["nr"] == nr
        found = exchange.argument(calls[rows], "context")
        if found is not None:
            result[rows] = found
    return result
