"""Calls get the strings that another recorder read on their entry, however the two come in batches."""

from __future__ import annotations

import numpy as np

from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.capture.strings import StringPieces, encode
from llamactl.trace.record.syscalls.base import Batch
from llamactl.trace.record.syscalls.entry_texts import ENTRY_ONLY, EntryTexts

OPEN, STAT = 2, 4


def batch(rows: list[tuple[int, int, int, int, bytes]], flags: int = 0) -> Batch:
    """Make records from (tid, nr, start, duration, text)."""
    records = np.zeros(len(rows), RECORD)
    arena = b""
    for record, (tid, nr, start, duration, text) in zip(records, rows, strict=True):
        record["kind"], record["tid"], record["nr"] = int(Kind.SYSCALL), tid, nr
        record["start"], record["duration"], record["flags"] = start, duration, flags
        if text:
            record["text"] = len(arena) + 1
            arena += encode(text)
    return Batch(records, memoryview(arena))


def texts(rows: list[tuple[int, int, int, bytes]], flags: int = 0) -> Batch:
    return batch([(tid, nr, start, 0, text) for tid, nr, start, text in rows], ENTRY_ONLY | flags)


def strings_of(joined: Batch) -> list[bytes]:
    strings = StringPieces([joined.strings])
    return [strings.get(int(record["text"])) for record in joined.records]


def test_each_call_gets_the_last_strings_of_its_thread() -> None:
    held = EntryTexts()
    rest = held.take_out(texts([(1, OPEN, 10, b"a"), (2, OPEN, 11, b"b"), (1, OPEN, 30, b"c")]))
    assert len(rest.records) == 0
    calls = [(2, OPEN, 12, 3, b""), (1, OPEN, 10, 9, b""), (1, OPEN, 31, 1, b""), (1, STAT, 40, 1, b"")]
    assert strings_of(held.join(batch(calls))) == [b"b", b"a", b"c", b""]


def test_strings_wait_for_a_call_of_a_later_batch() -> None:
    held = EntryTexts()
    held.take_out(
        texts([(1, OPEN, 10, b"slow"), (2, OPEN, 11, b"b"), (2, OPEN, 21, b"c"), (2, STAT, 90, b"d")])
    )
    assert strings_of(held.join(batch([(2, OPEN, 12, 1, b"")]))) == [b"b"]
    assert strings_of(held.join(batch([(2, OPEN, 22, 1, b""), (3, OPEN, 23, 9, b"")]))) == [b"c", b""]
    assert strings_of(held.join(batch([(1, OPEN, 10, 70, b""), (2, STAT, 91, 2, b"")]))) == [b"slow", b"d"]


def test_strings_of_a_call_that_was_lost_go_to_no_other() -> None:
    held = EntryTexts()
    held.take_out(texts([(1, OPEN, 10, b"lost"), (1, OPEN, 20, b"kept"), (1, STAT, 30, b"other")]))
    assert strings_of(held.join(batch([(1, OPEN, 21, 1, b""), (1, OPEN, 40, 1, b"")]))) == [b"kept", b""]


def test_a_cut_string_stays_known_as_cut() -> None:
    held = EntryTexts()
    held.take_out(texts([(1, OPEN, 10, b"long")], int(Flag.TEXT_CUT)))
    joined = held.join(batch([(1, OPEN, 11, 1, b"")]))
    assert int(joined.records["flags"][0]) == int(Flag.TEXT_CUT)


def test_other_records_pass_with_their_own_strings() -> None:
    held = EntryTexts()
    mixed = np.concatenate([batch([(1, OPEN, 5, 0, b"x")]).records, texts([(1, OPEN, 6, b"")]).records])
    rest = held.take_out(Batch(mixed, memoryview(encode(b"x"))))
    assert strings_of(rest) == [b"x"]
    given = batch([(9, STAT, 1, 1, b"")])
    assert EntryTexts().join(given) is given
