"""The phases of a run, told to ``llamactl trace`` when it is recording: from stamps taken anyway."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import perf_counter_ns

from llamactl.engine.generation import STAMPS_PER_TOKEN, Generated
from llamactl.run.timing import Steps
from llamactl.trace.record.clocked.marks import VARIABLE, mark


def mark_phases(steps: Steps, done: Generated) -> None:
    """Mark what has happened up to the last token; nothing happens when nobody is recording.

    The marks are written after the generation, so they cost it nothing.
    """
    fd = os.environ.get(VARIABLE, "")
    if fd:
        for name, start, end in _phases(steps, done):
            mark(int(fd), name, start, end - start)


def mark_free(start_ns: int) -> None:
    """Mark that the model was freed from ``start_ns`` until now."""
    fd = os.environ.get(VARIABLE, "")
    if fd:
        mark(int(fd), "free", start_ns, perf_counter_ns() - start_ns)


def _phases(steps: Steps, done: Generated) -> Iterator[tuple[str, int, int]]:
    """Yield (phase, begin, end) in the order of time."""
    yield "load", steps.start, steps.context_made
    yield "tokenize", steps.rendered, steps.tokenized
    if done.prefill_ns is not None:
        yield "prefill", done.start_ns, done.start_ns + done.prefill_ns
    stamps = done.stamps
    for row in range(0, len(stamps), STAMPS_PER_TOKEN):
        before, sampled, _, shown, decoded = stamps[row : row + STAMPS_PER_TOKEN]
        yield "sample", before, sampled
        if decoded:
            yield "decode", shown, decoded
