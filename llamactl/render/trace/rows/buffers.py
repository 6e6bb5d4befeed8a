"""The row of buffers: how many rows of logits are handed out, and what becomes of them where that was watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from llamactl.render.safe import safe_text
from llamactl.render.trace.text import byte_text, count_text, time_text
from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.mechanisms.buffers.buffer_readers import How, Reader
from llamactl.trace.mechanisms.buffers.buffers import EMBEDDINGS, STATE, Buffer
from llamactl.trace.mechanisms.buffers.judged import asked, is_copied, is_unclear, of_samplers
from llamactl.trace.mechanisms.interface.crossings import FLOAT_BYTES, vocabulary_size
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts

SHOWN_READERS = 2
EACH = {"logits": "a token", "embeddings": "a row", "state": "each time"}
OTHERS = {"embeddings": EMBEDDINGS, "state": STATE}


def buffer_lines(facts: ExchangeFacts) -> Iterator[str]:
    """Return the row's lines."""
    rows = asked(facts, LOGITS)
    size = vocabulary_size(facts.exchange)
    if rows:
        row = "size unknown" if size is None else f"{byte_text(size * FLOAT_BYTES)} each"
        who = "the extension's own code" if facts.calls_inside else "Python"
        yield f"{count_text(rows)} rows of logits handed to {who}, {row}"
        yield from _who(facts.buffer)
    elif facts.per_token.tokens:
        if facts.per_token.bytes is not None:
            yield f"{byte_text(round(facts.per_token.bytes))} of tokens and text a token"
        yield from _to_callbacks(facts)
        if facts.buffer is not None and facts.buffer.address is not None:
            yield from _watched(facts.buffer)
    others = {buffer.name: buffer for buffer in facts.other_buffers}
    for name, functions in OTHERS.items():
        count = asked(facts, functions)
        if count:
            buffer = others.get(name)
            known = (
                "" if buffer is None or buffer.row_bytes is None else f", {byte_text(buffer.row_bytes)} each"
            )
            yield f"{name} handed out {count_text(count)} times{known}"
            yield from _who(buffer)


def _to_callbacks(facts: ExchangeFacts) -> Iterator[str]:
    """What a sampler hands to the Python that it calls: all logits."""
    rows = of_samplers(facts)
    if not rows:
        yield "no logits handed out: llama.cpp's own sampler reads them"
        return
    count, lists = sum(row.count for row in rows), sum(row.lists for row in rows)
    yield f"logits handed to Python by a callback of the sampler {count_text(count)} times"
    if lists:
        yield f"copied: all of them became a Python list {count_text(lists)} times"


def _who(buffer: Buffer | None) -> Iterator[str]:
    if buffer is None or (buffer.address is None and not buffer.refused):
        yield "who reads them wasn't watched (--watch does)"
    else:
        yield from _watched(buffer)


def _watched(buffer: Buffer) -> Iterator[str]:
    if buffer.refused:
        yield safe_text(f"not watched: {buffer.refused}")
        return
    readers = [reader for reader in buffer.readers if reader.how is not How.WRITTEN]
    for reader in readers[:SHOWN_READERS]:
        yield _reader(reader, EACH.get(buffer.name, "each"))
    if is_copied(buffer):
        took = "" if buffer.copy_us_per_token is None else f", {time_text(buffer.copy_us_per_token * 1e3)}"
        yield f"copied: {byte_text(buffer.row_bytes)}{took} {EACH.get(buffer.name, 'each')}"
    if buffer.stale_reads:
        yield f"{count_text(buffer.stale_reads)} reads of a row that a later decode had overwritten"


def _reader(reader: Reader, unit: str) -> str:
    """Return who, how, how often; modules of Python without their platform's suffix."""
    name = PurePath(reader.caller or reader.library).name.split(".cpython-")[0]
    how = "floats become Python objects, whether all isn't known" if is_unclear(reader) else reader.how.value
    return safe_text(f"{name}: {how}, {reader.per_token:.2g} times {unit}")
