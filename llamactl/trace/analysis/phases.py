"""Phases of an inference: when each began and ended, and which one a moment belongs to.

They come from PHASE records (llamactl's own run) or, for other programs, from CALL records of the functions
in ``PHASE_OF_FUNCTION``. A moment belongs to the innermost phase around it, whatever the
thread: a worker's system call during ``llama_decode`` belongs to the decoding. Of concurrent requests the
phase that began last owns the moment, so that the phases never add up to more than the time that passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.analysis.view import View
from llamactl.trace.capture.record import Flag, Kind

ORDER = ("load", "tokenize", "prefill", "decode", "sample", "free")
OUTSIDE = "outside"

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
    "llama_free": "free",
    "llama_model_free": "free",
    "llama_free_model": "free",
}

IntArray = NDArray[np.int64]


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
    """

    names: tuple[str, ...]
    start: IntArray
    end: IntArray
    number: IntArray
    source: str
    begun: tuple[int, ...] = ()
    unfinished: tuple[int, ...] = ()
    open_since: tuple[int, ...] = ()

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
    derived: list[IntArray] = []
    from_function = _numbers_by_function(_strings(metadata, "functions"))
    token_count = _token_counts(metadata, len(from_function))
    for view in views:
        if (view.kind == Kind.PHASE).any():
            records = view.of_kind(Kind.PHASE)
            own.append(_intervals(records, records["nr"].astype(np.int64)))
        if len(from_function) and (view.kind == Kind.CALL).any():
            derived.append(_from_calls(view.of_kind(Kind.CALL), from_function, token_count))
    if own:
        return _build(np.concatenate(own, axis=1), _strings(metadata, "phases"), "phases")
    if derived and sum(part.shape[1] for part in derived):
        return _build(np.concatenate(derived, axis=1), list(ORDER), "calls")
    return _build(np.zeros((4, 0), np.int64), [], "none")


def _strings(metadata: dict[str, object], key: str) -> list[str]:
    values = metadata.get(key)
    return [str(value) for value in values] if isinstance(values, list) else []


def _numbers_by_function(functions: list[str]) -> IntArray:
    """Return the number in ORDER for each function of the metadata, -1 for those that begin no phase."""
    found = [PHASE_OF_FUNCTION.get(name.rpartition(":")[2]) for name in functions]
    return np.array([ORDER.index(name) if name else -1 for name in found], dtype=np.int64)


def _intervals(records: NDArray[np.void], number: IntArray) -> IntArray:
    start = records["start"].astype(np.int64)
    open_end = (records["flags"] & int(Flag.NO_EXIT)) != 0
    return np.stack([start, start + records["duration"].astype(np.int64), number, open_end])


def _token_counts(metadata: dict[str, object], functions: int) -> IntArray:
    """Return at which argument each function keeps its number of tokens.

    0 without a table, -1 where the table says that it isn't kept.
    """
    table = metadata.get("function_table")
    position = np.zeros(max(functions, 1), dtype=np.int64)
    for nr, row in enumerate(table if isinstance(table, list) else []):
        labels = [str(item).partition(":")[0] for item in row.get("args", ())]
        position[nr] = labels.index("n_tokens") if "n_tokens" in labels else -1
    return position


def _from_calls(records: NDArray[np.void], from_function: IntArray, token_count: IntArray) -> IntArray:
    """Take the calls that are phases; ``llama_decode`` of several tokens is the prompt's prefill."""
    nr = np.minimum(records["nr"].astype(np.int64), len(from_function) - 1)
    number = from_function[nr]
    decode, prefill = ORDER.index("decode"), ORDER.index("prefill")
    n_tokens = records["args"][np.arange(len(records)), np.maximum(token_count[nr], 0)]
    is_prompt = (number == decode) & (token_count[nr] >= 0) & (n_tokens > 1)
    number = np.where(is_prompt, prefill, number)
    # Calls of which only the entry was caught have no length.
    kept = (number >= 0) & ((records["flags"] & int(Flag.LEFT)) == 0)
    return _intervals(records[kept], number[kept])


def _build(intervals: IntArray, names: list[str], source: str) -> Phases:
    start, end, number, is_open = intervals[:, np.argsort(intervals[0], kind="stable")]
    while len(names) <= (int(number.max()) if len(number) else -1):
        names = [*names, f"phase {len(names)}"]
    begun = tuple(np.bincount(number, minlength=len(names)).tolist())
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
