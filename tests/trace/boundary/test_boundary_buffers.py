"""Who reads the logits: small programs that use them in one way each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from boundary_support import EXPECTED_READERS, PROGRAMS, Attached, assert_untouched, attach, start

from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.buffers.buffer_readers import How
from llamactl.trace.mechanisms.buffers.buffers import Buffer, Verdict, watched_buffer

pytest.importorskip("numpy")
TOKENS = 12
ROW_BYTES = 32000 * 4

EXPECTED = EXPECTED_READERS | {"numpy-aligned": (Verdict.NUMPY_COPY, How.NUMPY_COPY)}


def run(way: str, built: Path, reads: str) -> tuple[Attached, Buffer, int]:
    """Return what was seen, and how many of the program's copies began with a cache line."""
    program = PROGRAMS / "boundary_reads.py"
    process = start(sys.executable, program, built / "reads" / "libllama.so", reads, str(TOKENS))
    traced = attach(way, process, watch=True)
    traced.say()
    assert traced.line() == "armed\n"
    while not traced.source.metadata()["watch"]["last_watched"]:
        traced.drain()
    traced.say()
    done, _, aligned = traced.line().split()
    assert done == "done"
    traced.detach()
    assert_untouched(process.pid)
    assert traced.end()[1] == 5
    records = traced.writer.all
    touches = records[records["kind"] == Kind.WATCH]
    facts = traced.writer.facts["watch"]
    assert not facts["refused"]
    buffer = watched_buffer(touches, traced.writer.exchange(), facts, traced.writer.text)
    return traced, buffer, int(aligned)


@pytest.mark.parametrize("reads", EXPECTED)
def test_who_reads_the_logits(built: Path, way: str, reads: str) -> None:
    traced, buffer, aligned = run(way, built, reads)
    verdict, how = EXPECTED[reads]
    assert buffer.verdict is verdict
    assert (buffer.tokens, buffer.row_bytes) == (TOKENS, ROW_BYTES)
    reader = next(item for item in buffer.readers if item.how is how)
    assert reader.touches == TOKENS or how is How.IN_PLACE
    if reads == "numpy-aligned":
        # There glibc's memmove reads the first float twice, see buffers.py: still one copy.
        assert aligned == TOKENS
    assert reader.whole_row is (how is not How.ELEMENTS)
    copies = how in (How.LIST, How.NUMPY_COPY)
    assert buffer.copied_bytes_per_token == (ROW_BYTES if copies else 0)
    assert (buffer.copy_us_per_token is not None) == copies
    assert buffer.stale_reads == (TOKENS if reads == "stale" else 0)
    assert any(item.how is How.WRITTEN for item in buffer.readers)
    assert traced.writer.counts()["llama_decode"] == TOKENS
