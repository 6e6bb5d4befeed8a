"""The arguments of programs in what is recorded: as they may be kept, or not at all."""

from __future__ import annotations

import os

import numpy as np

from llamactl.process.arguments import without_prompts
from llamactl.trace.capture.record import Kind
from llamactl.trace.capture.strings import LENGTH, encode
from llamactl.trace.record.syscalls.base import Batch
from llamactl.trace.record.syscalls.texts import numbers_of_new_programs


def kept_arguments(words: tuple[str, ...] | list[str] | None, keep: bool) -> list[str] | None:
    """Return a command line as the capture may hold it; None for none."""
    return list(without_prompts(words)) if words is not None and keep else None


def with_kept_arguments(batch: Batch, keep: bool) -> Batch:
    """Return the batch with the arguments of each new program (execve(2)) as they may be kept.

    What isn't kept is overwritten: the batch's strings go into the capture as they lie.

    Args:
        batch: As an engine recorded it; its records are changed.
        keep: Keep all but prompts. Otherwise nothing.
    """
    records = batch.records
    calls = (records["kind"] == Kind.SYSCALL) & (records["text2"] != 0)
    rows = np.flatnonzero(calls & np.isin(records["nr"], list(numbers_of_new_programs())))
    if not len(rows):
        return batch
    strings = bytearray(batch.strings)
    before = [_span(strings, int(records["text2"][row])) for row in rows]
    kept = [_kept(bytes(strings[begin:end])) if keep else None for begin, end in before]
    for row, (begin, end), text in zip(rows, before, kept, strict=True):
        if text == bytes(strings[begin:end]):
            continue
        strings[begin:end] = bytes(end - begin)
        records["text2"][row] = 0 if text is None else len(strings) + 1
        strings += b"" if text is None else encode(text)
    return Batch(records, memoryview(bytes(strings)))


def _span(strings: bytearray, reference: int) -> tuple[int, int]:
    (length,) = LENGTH.unpack_from(strings, reference - 1)
    begin = reference - 1 + LENGTH.size
    return begin, begin + length


def _kept(text: bytes) -> bytes:
    """Return arguments joined by NULs, as they were but for prompts."""
    words = text.split(b"\0")
    shown = without_prompts([os.fsdecode(word) for word in words])
    return b"\0".join(map(os.fsencode, shown))
