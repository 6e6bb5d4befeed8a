"""Two recorders' records come out in one order, each with its own strings."""

from __future__ import annotations

import numpy as np

from llamactl.trace.capture.record import RECORD
from llamactl.trace.capture.strings import StringPieces, encode
from llamactl.trace.record.syscalls.base import Batch
from llamactl.trace.record.syscalls.held import Held


def batch(rows: list[tuple[int, int, bytes]]) -> Batch:
    records = np.zeros(len(rows), RECORD)
    arena = b""
    for record, (start, duration, text) in zip(records, rows, strict=True):
        record["start"], record["duration"] = start, duration
        if text:
            record["text"] = len(arena) + 1
            arena += encode(text)
    return Batch(records, memoryview(arena))


def rows(merged: Batch | None) -> list[tuple[int, bytes]]:
    assert merged is not None
    strings = StringPieces([merged.strings])
    return [(int(r["start"] + r["duration"]), strings.get(int(r["text"]))) for r in merged.records]


def test_merged_by_their_ends() -> None:
    held = Held()
    held.add(batch([(1, 1, b"a"), (3, 2, b"b")]))
    held.add(batch([(8, 1, b"c"), (20, 1, b"late")]))
    merged = held.merge_into(batch([(0, 1, b"x"), (4, 0, b""), (2, 8, b"y")]))
    assert rows(merged) == [(1, b"x"), (2, b"a"), (4, b""), (5, b"b"), (9, b"c"), (10, b"y")]
    assert held.before(20) is None
    assert rows(held.before(None)) == [(21, b"late")]
    assert held.before(None) is None


def test_nothing_held_copies_nothing() -> None:
    given = batch([(1, 1, b"a")])
    assert Held().merge_into(given) is given


def test_what_is_still_held_leaves_no_copy_of_its_strings() -> None:
    """It may be an argument that isn't kept: what takes it out of a batch sees the records of that batch alone."""
    held = Held()
    held.add(batch([(1, 1, b"early"), (20, 1, b"late")]))
    merged = held.merge_into(batch([(0, 5, b"x")]))
    assert b"late" not in bytes(merged.strings)
    assert rows(held.before(None)) == [(21, b"late")]
