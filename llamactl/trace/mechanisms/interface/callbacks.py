"""Python that llama.cpp calls in the middle of a call: logits processors, log, progress and abort functions.

A binding lets the GIL go before it calls llama.cpp. Where llama.cpp then calls Python, that takes the GIL, runs and
gives it back before the call goes on: its time is Python's, although it lies inside of a call.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.gil.gil import CALLED_BACK, WAITED
from llamactl.trace.mechanisms.interface.exchange import (
    Exchange,
    Place,
    durations,
    ends,
    outermost,
    starts,
    timed,
)

SAMPLER_PREFIX = "llama_sampler_"
DEPTH = 0
"""The argument with how many calls were in progress; 0 from outside, where it isn't known."""
LIST = 2
"""The argument with the elements of the largest list that was made."""


@dataclass(frozen=True, slots=True)
class CallbackRow:
    """Python called back by one function of llama.cpp.

    Attributes:
        name: The function that was called and calls back; "unknown" where that call isn't there.
        count: How often Python was called.
        total_ns: How long, waits for the GIL included.
        max_ns: The longest.
        lists: In how many of them a list of at least as many elements as the vocabulary was made.
        list_elements: Elements of the largest list; 0 for none seen.
        places: (file, line, function) of Python at work there, those with most time first, three at most.
        callers: Where each was called from outside of all installed packages, likewise.
    """

    name: str
    count: int
    total_ns: int
    max_ns: int
    lists: int
    list_elements: int
    places: tuple[Place, ...]
    callers: tuple[Place, ...]


def callbacks_of(exchange: Exchange) -> NDArray[np.void]:
    """Return the GIL records of Python called back, those that have an end."""
    found: NDArray[np.void] = exchange.gil[(exchange.gil["nr"] == CALLED_BACK) & timed(exchange.gil)]
    if not len(found) or found["args"][:, DEPTH].all():
        return found
    # Seen from outside, C that takes the GIL for anything else looks the same.
    found = found[(found["args"][:, DEPTH] > 0) | lie_in(found, exchange.calls[outermost(exchange.calls)])]
    return found


def callback_rows(exchange: Exchange, vocabulary: int | None) -> list[CallbackRow]:
    """Return one row for each function that calls back, those that took longest first.

    Args:
        exchange: The records.
        vocabulary: Size of the vocabulary, for lists of logits; None when it isn't known.
    """
    records = callbacks_of(exchange)
    around = _function_around(exchange, records)
    rows = []
    for number in np.unique(around).tolist():
        mine = records[around == number]
        lists = mine["args"][:, LIST].astype(np.int64)
        places = _weighted(mine)
        rows.append(
            CallbackRow(
                name=exchange.functions[number].name if number >= 0 else "unknown",
                count=len(mine),
                total_ns=int(durations(mine).sum()),
                max_ns=int(durations(mine).max()),
                lists=0 if not vocabulary else int((lists >= vocabulary).sum()),
                list_elements=int(lists.max()),
                places=tuple(place for ref in places if (place := exchange.place(ref)) is not None),
                callers=tuple(place for ref in places if (place := exchange.caller(ref)) is not None),
            )
        )
    return sorted(rows, key=lambda row: -row.total_ns)


def _weighted(records: NDArray[np.void]) -> list[int]:
    """Return the references of the three places with most time."""
    references, inverse = np.unique(records["text2"], return_inverse=True)
    spent = np.bincount(inverse, weights=durations(records))
    order = [index for index in np.argsort(-spent).tolist() if references[index]]
    return [int(references[index]) for index in order[:3]]


def _function_around(exchange: Exchange, records: NDArray[np.void]) -> IntArray:
    """Return the number of the function whose call each record lies in, the innermost one; -1 for none."""
    result = np.full(len(records), -1, np.int64)
    for tid in np.unique(records["tid"]):
        rows = np.flatnonzero(records["tid"] == tid)
        calls = exchange.calls[exchange.calls["tid"] == tid]
        end, moments = ends(calls), starts(records[rows])
        index = np.searchsorted(starts(calls), moments, "right") - 1
        for _ in range(DEEPEST):
            over = (index >= 0) & (end[np.maximum(index, 0)] < moments) if len(calls) else index >= 0
            if not over.any():
                break
            index[over] -= 1
        found = (index >= 0) & (end[np.maximum(index, 0)] >= moments) if len(calls) else index >= 0
        result[rows[found]] = calls["nr"][index[found]]
    return result


DEEPEST = 64
"""So many calls that ended before are looked over for the one around; a callback that makes more is unknown."""


@dataclass(frozen=True)
class Inside:
    """What ran inside of calls.

    Attributes:
        callbacks: Python called back, as records; those inside of other callbacks' calls, too.
        calls: The outermost calls into llama.cpp that this Python made.
        waits: Its waits for the GIL.
        outermost: Those of the callbacks that are in no other.
    """

    callbacks: NDArray[np.void]
    calls: NDArray[np.void]
    waits: NDArray[np.void]
    outermost: NDArray[np.void]


def python_inside(exchange: Exchange) -> Inside:
    """Return the Python that ran inside of calls, and what it called in its turn."""
    rest = callbacks_of(exchange)
    waits = exchange.gil[(exchange.gil["nr"] == WAITED) & timed(exchange.gil)]
    found: list[tuple[NDArray[np.void], NDArray[np.void]]] = [(rest[:0], exchange.calls[:0])]
    while len(rest):
        outer = outermost(rest)
        level, rest = rest[outer], rest[~outer]
        within = exchange.calls[lie_in(exchange.calls, level)]
        found.append((level, within[outermost(within)]))
    callbacks, calls = (np.concatenate(parts) for parts in zip(*found, strict=True))
    around = found[1][0] if len(found) > 1 else callbacks
    return Inside(callbacks, calls, waits[lie_in(waits, around)], around)


def lie_in(records: NDArray[np.void], around: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return which records begin within one of the others, which don't overlap on a thread, on the same thread."""
    result = np.zeros(len(records), dtype=bool)
    for tid in np.unique(around["tid"]):
        mine = around[around["tid"] == tid]
        rows = np.flatnonzero(records["tid"] == tid)
        moments = starts(records[rows])
        index = np.searchsorted(starts(mine), moments, "right") - 1
        result[rows] = (index >= 0) & (moments < ends(mine)[np.maximum(index, 0)])
    return result
