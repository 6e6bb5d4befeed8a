"""Phases of an inference: when each began and ended, and which one a moment belongs to.

They come from PHASE records (llamactl's own run) or, for other programs, from CALL records of the functions
in ``PHASE_OF_FUNCTION``. A moment belongs to the innermost phase around it, whatever the
thread: a worker's system call during ``llama_decode`` belongs to the decoding. Of concurrent requests the
phase that began last owns the moment, so that the phases never add up to more than the time that passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import Flag, Kind
from llamactl.trace.mechanisms.gpu.awaited import HANDS_OUT, WAIT
from llamactl.trace.mechanisms.interface.context_memory import CLEAR, GET, REMOVE, RESTORES
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.requests.requests import TAKES, decodes_of
from llamactl.trace.mechanisms.view import View

ORDER = ("load", "tokenize", "prefill", "decode", "sample", "free")
OUTSIDE = "outside"
Waiters = tuple[tuple[str, int], ...]
"""Functions and ns, those that waited longest first."""

PHASE_OF_FUNCTION = {
    "llama_model_load_from_file": "load",
    "llama_model_load_from_splits": "load",
    "llama_load_model_from_file": "load",
    "llama_init_from_model": "load",
    "llama_new_context_with_model": "load",
    "llama_tokenize": "tokenize",
    "llama_decode": "decode",
    "llama_encode": "prefill",
    "llama_process": "decode",
    "llama_sampler_sample": "sample",
    "llama_sampler_apply": "sample",
    "llama_free": "free",
    "llama_model_free": "free",
    "llama_free_model": "free",
}

TELLING = frozenset({*TAKES, *RESTORES, CLEAR, GET, REMOVE, WAIT, *HANDS_OUT})
"""What tells a prompt's decode from a token's."""


@dataclass(frozen=True, slots=True)
class Phases:
    """Intervals that don't overlap, ordered by time.

    Args:
        names: Names of the phases that occur; the index is the phase's number.
        start: Beginnings, ns.
        end: Ends, ns.
        number: Index into ``names`` of each interval.
        source: Where they come from: ``phases``, ``calls`` or ``none``.
        begun: How many of each name began, before nested and concurrent ones were cut; by name's number.
        unfinished: How many of those were still open when recording, or their thread, ended.
        open_since: When the first of these began, ns; the last moment there is for none.
        awaited: Of what a phase started on a device: which calls waited for it, and how long, ns; by phase.
    """

    names: tuple[str, ...]
    start: IntArray
    end: IntArray
    number: IntArray
    source: str
    begun: tuple[int, ...] = ()
    unfinished: tuple[int, ...] = ()
    open_since: tuple[int, ...] = ()
    awaited: Mapping[str, Waiters] = field(default_factory=dict)

    def of(self, moments: IntArray) -> IntArray:
        """Return the number of the phase each moment lies in; ``len(names)`` for none."""
        if not len(self.start) or not len(moments):
            return np.full(len(moments), len(self.names), dtype=np.int64)
        # The moments of a piece lie close together: most of many phases needn't be looked at.
        first, last = np.searchsorted(self.start, [moments.min(), moments.max()], side="right")
        index = np.searchsorted(self.start[first:last], moments, side="right") + (first - 1)
        inside = (index >= 0) & (moments < self.end[index])
        return np.where(inside, self.number[index], len(self.names))

    def seconds(self) -> dict[str, float]:
        """Return how long each phase lasted in all, seconds."""
        length = np.bincount(self.number, self.end - self.start, minlength=len(self.names)) / 1e9
        return {name: float(total) for name, total in zip(self.names, length, strict=True)}

    def counts(self) -> dict[str, int]:
        """Return how often each phase began, those of concurrent requests one by one."""
        return dict(zip(self.names, self.begun, strict=True))

    def still_open(self) -> dict[str, int]:
        """Return how many of each phase were open at the end: what is known of them is their length up to there."""
        return dict(zip(self.names, self.unfinished, strict=True))

    def is_open(self, row: int) -> bool:
        """Return whether an interval belongs to a phase that was still open at the end."""
        number = int(self.number[row])
        return bool(self.start[row] >= self.open_since[number]) if self.open_since else False


def find_phases(views: Iterable[View], metadata: dict[str, object]) -> Phases:
    """Read the phases of a capture in one pass; PHASE records win over CALL records."""
    own: list[IntArray] = []
    calls: list[NDArray[np.void]] = []
    functions = _functions(metadata)
    telling = np.array(
        [row.name in PHASE_OF_FUNCTION or row.name in TELLING for row in functions], dtype=bool
    )
    for view in views:
        if (view.kind == Kind.PHASE).any():
            records = view.of_kind(Kind.PHASE)
            own.append(_intervals(records, records["nr"].astype(np.int64)))
        if len(functions) and (view.kind == Kind.CALL).any():
            records = view.of_kind(Kind.CALL)
            records = records[records["nr"] < len(functions)]
            calls.append(records[telling[records["nr"]]])
    if own:
        return _build(np.concatenate(own, axis=1), _strings(metadata, "phases"), "phases")
    if any(len(part) for part in calls):
        found = _from_calls(Exchange.of(calls, functions, lambda _: b""))
        if found is not None:
            return found
    return _build(np.zeros((4, 0), np.int64), [], "none")


def _functions(metadata: dict[str, object]) -> list[Function]:
    """Return what the numbers of calls mean; a capture with names alone keeps the number of tokens first."""
    table = metadata.get("function_table")
    if isinstance(table, list):
        return [Function.from_metadata(row) for row in table]
    names = [name.rpartition(":")[2] for name in _strings(metadata, "functions")]
    return [Function(name, "", "", "", ("n_tokens:i",)) for name in names]


def _strings(metadata: dict[str, object], key: str) -> list[str]:
    values = metadata.get(key)
    return [str(value) for value in values] if isinstance(values, list) else []


def _intervals(records: NDArray[np.void], number: IntArray) -> IntArray:
    start = records["start"].astype(np.int64)
    open_end = (records["flags"] & int(Flag.NO_EXIT)) != 0
    return np.stack([start, start + records["duration"].astype(np.int64), number, open_end])


def _from_calls(exchange: Exchange) -> Phases | None:
    """Take the calls that are phases; decodes that read a prompt are its prefill, which begins once a request."""
    found = [PHASE_OF_FUNCTION.get(function.name) for function in exchange.functions]
    by_function = np.array([ORDER.index(name) if name else -1 for name in found], dtype=np.int64)
    number = by_function[exchange.calls["nr"]]
    decodes = decodes_of(exchange)
    number[decodes.index[decodes.prompt]] = ORDER.index("prefill")
    # Calls of which only the entry was caught have no length.
    kept = (number >= 0) & ((exchange.calls["flags"] & int(Flag.LEFT)) == 0)
    if not kept.any():
        return None
    goes_on = np.zeros(len(number), dtype=bool)
    goes_on[decodes.index] = decodes.prompt & ~decodes.begins
    # What was waited for is the decode's, although it passes in another call; the decode went on.
    waits = _waits(exchange, number)
    built = _build(
        np.concatenate([_intervals(exchange.calls[kept], number[kept]), waits], axis=1),
        list(ORDER),
        "calls",
        np.concatenate([number[kept & goes_on], waits[2]]),
    )
    return replace(built, awaited=_waiters(exchange, number))


def _waits(exchange: Exchange, number: IntArray) -> IntArray:
    found = exchange.awaited
    owner = number[found.decode]
    rows = np.stack([found.start, found.start + found.ns, owner, np.zeros(len(found), np.int64)])
    return rows[:, owner >= 0]


def _waiters(exchange: Exchange, number: IntArray) -> dict[str, Waiters]:
    found: dict[str, dict[str, int]] = {}
    waits = exchange.awaited
    for decode, around, ns in zip(waits.decode, waits.around, waits.ns, strict=True):
        if number[decode] >= 0:
            name = exchange.functions[int(exchange.calls["nr"][around])].name
            phase = found.setdefault(ORDER[int(number[decode])], {})
            phase[name] = phase.get(name, 0) + int(ns)
    return {
        phase: tuple(sorted(rows.items(), key=lambda row: (-row[1], row[0]))) for phase, rows in found.items()
    }


def _build(intervals: IntArray, names: list[str], source: str, going_on: IntArray | None = None) -> Phases:
    """Sort intervals of start, end, number and whether it is open; those that go on begin nothing."""
    start, end, number, is_open = intervals[:, np.argsort(intervals[0], kind="stable")]
    count = int(number.max()) + 1 if len(number) else 0
    names = [*names, *(f"phase {number}" for number in range(len(names), count))]
    counts = np.bincount(number, minlength=len(names))
    if going_on is not None:
        counts -= np.bincount(going_on, minlength=len(names))
    begun = tuple(counts.tolist())
    unfinished = tuple(np.bincount(number[is_open == 1], minlength=len(names)).tolist())
    open_since = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(open_since, number[is_open == 1], start[is_open == 1])
    if (end[:-1] > start[1:]).any():
        start, end, number = _flatten(start, end, number)
    return Phases(tuple(names), start, end, number, source, begun, unfinished, tuple(open_since.tolist()))


def _flatten(start: IntArray, end: IntArray, number: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Cut nested intervals so that the one that began last owns the time; a stack, as they nest."""
    out: list[tuple[int, int, int]] = []
    stack: list[tuple[int, int]] = []
    position = 0

    def emit(until: int) -> None:
        nonlocal position
        while stack and stack[-1][0] <= until:
            finish, owner = stack.pop()
            if finish > position:
                out.append((position, finish, owner))
                position = finish
        if stack and until > position:
            out.append((position, until, stack[-1][1]))
        position = max(position, until)

    for begin, finish, owner in zip(start.tolist(), end.tolist(), number.tolist(), strict=True):
        emit(begin)
        stack.append((finish, owner))
        stack.sort(reverse=True)
    emit(np.iinfo(np.int64).max)
    array = np.array(out, dtype=np.int64).reshape(-1, 3)
    return array[:, 0], array[:, 1], array[:, 2]
