"""When Python's garbage collector went through all objects, and which tokens that fell into.

Looks at the collector's state bracket a collection: it began between the last look that saw it idle and the first one
that saw it at work, and ended likewise. In between lies its length, give or take the time between two looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import RECORD, Kind, Sched
from llamactl.trace.mechanisms.interface.crossings import Tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange

LEAST_NS = 5_000_000
"""A collection that may have taken less isn't worth a word."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One full collection.

    Attributes:
        pid: The process.
        start_ns: When it began, the middle of what is possible.
        length_ns: How long it took, likewise.
        least_ns: At least so long.
    """

    pid: int
    start_ns: int
    length_ns: int
    least_ns: int


@dataclass(frozen=True)
class Garbage:
    """Full collections of a recording.

    Attributes:
        count: How many there were while it was looked at.
        collections: Those that took long enough to be seen at work.
        while_generating: Those of them that fell into tokens.
        tokens: How many tokens such a collection fell into.
        in_tokens_ns: For how long, in all.
        token_ns: How long each token was held up, in the order of the tokens; None where there are no tokens.
    """

    count: int
    collections: list[Collection]
    while_generating: list[Collection]
    tokens: int
    in_tokens_ns: int
    token_ns: IntArray | None

    @property
    def longest_ns(self) -> int:
        """How long the longest one took."""
        return max((one.length_ns for one in self.collections), default=0)

    @property
    def total_ns(self) -> int:
        """How long they took in all."""
        return sum(one.length_ns for one in self.collections)


def garbage(
    pieces: Iterable[NDArray[np.void]], exchange: Exchange | None, rows: Tokens | None
) -> Garbage | None:
    """Return the full collections; None where no collector was looked at.

    Args:
        pieces: A capture's chunks.
        exchange: The calls into llama.cpp.
        rows: The tokens.
    """
    parts = [piece[(piece["kind"] == Kind.SCHED) & (piece["nr"] == Sched.COLLECTOR)] for piece in pieces]
    records = np.concatenate(parts) if parts else np.empty(0, RECORD)
    if not len(records):
        return None
    count, found = 0, []
    for pid in np.unique(records["pid"]).tolist():
        mine = records[records["pid"] == pid]
        looks = mine[np.argsort(mine["start"], kind="stable")]
        full = looks["args"][:, 1].astype(np.int64)
        count += int(full[-1] - full[0])
        found += _collections(pid, looks)
    if exchange is None or rows is None or not len(rows):
        return Garbage(count, found, [], 0, 0, None)
    pids = exchange.calls["pid"][rows.index].astype(np.int64)
    shares = [_in_tokens(one, rows, pids) for one in found]
    token_ns = sum(shares, np.zeros(len(rows), np.int64))
    inside = [one for one, share in zip(found, shares, strict=True) if share.any()]
    return Garbage(count, found, inside, int((token_ns > 0).sum()), int(token_ns.sum()), token_ns)


def _collections(pid: int, looks: NDArray[np.void]) -> list[Collection]:
    """Return the full collections that were seen at work."""
    found = []
    for before, after in pairwise(looks):
        if int(after["args"][1]) <= int(before["args"][1]):
            continue
        ended = int(after["args"][2]), int(after["start"])
        at_work = bool(before["args"][0])
        began = (int(before["args"][2]), int(before["start"])) if at_work else ended
        start, end = sum(began) // 2, sum(ended) // 2
        least = max(ended[0] - began[1], 0)
        if at_work and end - start >= LEAST_NS:
            found.append(Collection(pid, start, end - start, least))
    return found


def _in_tokens(one: Collection, rows: Tokens, pids: IntArray) -> IntArray:
    """Return for how long a collection held up each token of its process, ns."""
    end = np.minimum(rows.start + rows.length_ns, one.start_ns + one.length_ns)
    both = np.maximum(end - np.maximum(rows.start, one.start_ns), 0)
    found: IntArray = np.where(pids == one.pid, both, 0)
    return found
