"""The GIL: held or released in each call, how long it took to take it back, and who had it meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.engine_calls import COMPUTE
from llamactl.trace.capture.record import Flag
from llamactl.trace.mechanisms.interface.exchange import (
    Exchange,
    durations,
    ends,
    finished,
    starts,
    timed,
    unfinished,
)

RELEASED, WAITED, CALLED_BACK = 0, 1, 2
WAIT_FLOOR_NS = 100_000
"""Shorter waits are the cost of taking a free lock; nobody is named for them."""
HOLD_FLOOR_NS = 5_000_000
"""CPython's own switch interval: a call that holds the GIL longer keeps others waiting."""


class GilVerdict(Enum):
    """What the computing calls (``COMPUTE``) do with the GIL."""

    RELEASED = "released"
    HELD = "held"
    MIXED = "mixed"
    NO_GIL = "no GIL"
    NO_PYTHON = "no Python"
    NO_CALLS = "no calls"


@dataclass(frozen=True, slots=True)
class GilFunction:
    """One function; times None when there was no such call."""

    name: str
    count: int
    held: int
    released: int
    unknown: int
    longest_hold_ns: int | None
    """Longest call with the GIL held."""
    unfinished: int
    """Calls with the GIL held that were still open at the end: they held it at least so long."""
    total_hold_ns: int | None
    take_back_mean_ns: float | None
    """Waiting for the GIL after calls that had released it."""
    take_back_max_ns: int | None
    stalled_ns: int
    """How long other Python threads waited for the GIL while a call of this function held it."""


@dataclass(frozen=True, slots=True)
class GilWait:
    """One wait for the GIL of at least ``WAIT_FLOOR_NS``.

    Attributes:
        tid: Who waited.
        start_ns: Since when.
        wait_ns: How long.
        place: (file, line, function) where it had released the GIL, where that is known.
        holder_tid: Who had the GIL for the largest part of it; None when no thread that crosses into C did:
            then it was one that ran Python code without a break.
        holder_call: The function of llama.cpp in which the holder was, if that is what held the GIL.
        holder_place: Where the holder was in Python, where that is known.
        overlap_ns: How much of the wait that explains.
        unfinished: It still waited at the end of the recording.
    """

    tid: int
    start_ns: int
    wait_ns: int
    place: tuple[str, int, str] | None
    holder_tid: int | None
    holder_call: str | None
    holder_place: tuple[str, int, str] | None
    overlap_ns: int
    unfinished: bool


@dataclass(frozen=True)
class GilReport:
    """The GIL over the whole recording."""

    verdict: GilVerdict
    functions: list[GilFunction]
    waits: list[GilWait]
    """The longest first."""
    wait_total_ns: int
    wait_max_ns: int | None
    released_total_ns: int
    unfinished_waits: int
    """Waits that still went on at the end of the recording; they count up to there."""
    held_computing: int
    """Computing calls with the GIL held."""
    released_computing: int


def gil_report(exchange: Exchange, limit: int = 100) -> GilReport:
    """Join calls and GIL records.

    Args:
        exchange: The records.
        limit: How many of the longest waits are explained.
    """
    waits = exchange.gil[(exchange.gil["nr"] == WAITED) & timed(exchange.gil)]
    free = exchange.gil[(exchange.gil["nr"] == RELEASED) & timed(exchange.gil)]
    computing = exchange.calls[exchange.named(*COMPUTE)]
    held, released = _flagged(computing, Flag.GIL_HELD), _flagged(computing, Flag.GIL_RELEASED)
    return GilReport(
        verdict=_verdict(exchange, int(held.sum()), int(released.sum()), len(computing)),
        functions=_functions(exchange, waits),
        waits=_explained(exchange, waits, limit),
        wait_total_ns=int(waits["duration"].sum()),
        wait_max_ns=int(waits["duration"].max()) if len(waits) else None,
        unfinished_waits=unfinished(waits),
        released_total_ns=int(free["duration"].sum()),
        held_computing=int(held.sum()),
        released_computing=int(released.sum()),
    )


def _flagged(calls: NDArray[np.void], flag: Flag) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = (calls["flags"] & int(flag)) != 0
    return mask


def _verdict(exchange: Exchange, held: int, released: int, count: int) -> GilVerdict:
    if exchange.free_threaded:
        return GilVerdict.NO_GIL
    if not count:
        return GilVerdict.NO_CALLS
    if held and released:
        return GilVerdict.MIXED
    if held:
        return GilVerdict.HELD
    return GilVerdict.RELEASED if released else GilVerdict.NO_PYTHON


def _functions(exchange: Exchange, waits: NDArray[np.void]) -> list[GilFunction]:
    names = np.array([function.name for function in exchange.functions], dtype=object)
    taken_back = _taken_back(exchange.calls, waits)
    rows = []
    for name in sorted({str(names[nr]) for nr in np.unique(exchange.calls["nr"]).tolist()}):
        mine = exchange.named(name)
        calls, back = exchange.calls[mine], taken_back[mine]
        held, released = _flagged(calls, Flag.GIL_HELD), _flagged(calls, Flag.GIL_RELEASED)
        holds = calls[held & timed(calls)]
        back = back[released & (back >= 0)]
        rows.append(
            GilFunction(
                name=name,
                count=len(calls),
                held=int(held.sum()),
                released=int(released.sum()),
                unknown=int((~held & ~released).sum()),
                unfinished=unfinished(holds),
                longest_hold_ns=int(holds["duration"].max()) if len(holds) else None,
                total_hold_ns=int(holds["duration"].sum()) if len(holds) else None,
                take_back_mean_ns=float(back.mean()) if len(back) else None,
                take_back_max_ns=int(back.max()) if len(back) else None,
                stalled_ns=_stalled(holds, waits),
            )
        )
    return sorted(rows, key=lambda row: (-(row.total_hold_ns or 0), row.name))


def _taken_back(calls: NDArray[np.void], waits: NDArray[np.void]) -> IntArray:
    """Return for each call the wait for the GIL that came next on its thread, -1 for none.

    Only the last call before a wait gets it: one release may cover several calls.
    """
    result = np.full(len(calls), -1, np.int64)
    for tid in np.unique(waits["tid"]):
        mine = np.flatnonzero((calls["tid"] == tid) & finished(calls))
        if not len(mine):
            continue
        mine = mine[np.argsort(ends(calls[mine]), kind="stable")]
        own = waits[waits["tid"] == tid]
        before = np.searchsorted(ends(calls[mine]), starts(own), "right") - 1
        valid = before >= 0
        # The first wait after a call is its own; later ones follow other releases.
        for position, wait in zip(before[valid][::-1], own[valid][::-1], strict=True):
            result[mine[position]] = wait["duration"]
    return result


def _stalled(holds: NDArray[np.void], waits: NDArray[np.void]) -> int:
    """Add up by how much waits of other threads overlap calls that held the GIL."""
    long = holds[holds["duration"] >= HOLD_FLOOR_NS]
    total = 0
    for call in long:
        begin, end = int(call["start"]), int(call["start"]) + int(call["duration"])
        others = waits[(waits["tid"] != call["tid"]) & (waits["pid"] == call["pid"])]
        overlap = np.minimum(ends(others), end) - np.maximum(starts(others), begin)
        total += int(np.maximum(overlap, 0).sum())
    return total


@dataclass(frozen=True, slots=True)
class _Hold:
    start: int
    end: int
    tid: int
    pid: int
    call: str | None
    text2: int


def _explained(exchange: Exchange, waits: NDArray[np.void], limit: int) -> list[GilWait]:
    long = waits[waits["duration"] >= WAIT_FLOOR_NS]
    long = long[np.argsort(-durations(long), kind="stable")][:limit]
    if not len(long):
        return []
    holds = [*_held_calls(exchange), *_held_between(exchange)]
    return [_explain(exchange, wait, holds) for wait in long]


def _held_calls(exchange: Exchange) -> list[_Hold]:
    calls = exchange.calls[_flagged(exchange.calls, Flag.GIL_HELD) & timed(exchange.calls)]
    calls = calls[calls["duration"] >= WAIT_FLOOR_NS]
    return [
        _Hold(
            int(call["start"]),
            int(call["start"]) + int(call["duration"]),
            int(call["tid"]),
            int(call["pid"]),
            exchange.functions[int(call["nr"])].name,
            int(call["text2"]),
        )
        for call in calls
    ]


def _held_between(exchange: Exchange) -> list[_Hold]:
    """Return when a thread had taken the GIL and not yet released it: at most so long did it hold it."""
    found = []
    gil = exchange.gil[timed(exchange.gil)]
    for tid in np.unique(gil["tid"]):
        own = gil[gil["tid"] == tid]
        taken, let_go = own[(own["nr"] == WAITED) & finished(own)], own[own["nr"] == RELEASED]
        if not len(taken) or not len(let_go):
            continue
        begin, release = ends(taken), starts(let_go)
        after = np.searchsorted(release, begin, "left")
        followed = after < len(let_go)
        begin, after = begin[followed], after[followed]
        for position in np.flatnonzero(release[after] - begin >= WAIT_FLOOR_NS).tolist():
            last = let_go[after[position]]
            found.append(
                _Hold(
                    int(begin[position]),
                    int(last["start"]),
                    int(tid),
                    int(last["pid"]),
                    None,
                    int(last["text2"]),
                )
            )
    return found


def _longest_overlap(holds: list[_Hold], begin: int, end: int) -> tuple[_Hold | None, int]:
    best, most = None, 0
    for hold in holds:
        overlap = min(hold.end, end) - max(hold.start, begin)
        if overlap > most:
            best, most = hold, overlap
    return best, most


def _explain(exchange: Exchange, wait: np.void, holds: list[_Hold]) -> GilWait:
    begin, end = int(wait["start"]), int(wait["start"]) + int(wait["duration"])
    others = [hold for hold in holds if hold.tid != wait["tid"] and hold.pid == wait["pid"]]
    # A call that surely held the GIL says more than the time between two crossings that contains it.
    best, most = _longest_overlap([hold for hold in others if hold.call is not None], begin, end)
    if 2 * most < end - begin:
        best, most = _longest_overlap(others, begin, end)
    return GilWait(
        tid=int(wait["tid"]),
        start_ns=begin,
        wait_ns=end - begin,
        place=exchange.place(int(wait["text2"])),
        holder_tid=None if best is None else best.tid,
        holder_call=None if best is None else best.call,
        holder_place=None if best is None else exchange.place(best.text2),
        overlap_ns=most,
        unfinished=bool(wait["flags"] & int(Flag.NO_EXIT)),
    )
