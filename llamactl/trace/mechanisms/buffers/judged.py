"""The verdict on what llama.cpp hands out: copied, overwritten before it was read, or as it should be."""

from __future__ import annotations

from llamactl.trace.capture.engine_calls import LOGITS
from llamactl.trace.mechanisms.buffers.buffer_readers import How, Reader
from llamactl.trace.mechanisms.buffers.buffers import EMBEDDINGS, Buffer
from llamactl.trace.mechanisms.buffers.buffers import Verdict as Read
from llamactl.trace.mechanisms.interface.callbacks import SAMPLER_PREFIX, CallbackRow
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts
from llamactl.trace.mechanisms.mechanism import OK, UNUSED, Verdict, attention

COPIED, STALE = attention("COPIED"), attention("STALE")
_VERDICTS = {
    Read.LIST_COPY: COPIED,
    Read.NUMPY_COPY: COPIED,
    Read.MEMORY_COPY: COPIED,
    Read.VIEWED: OK,
    Read.SAMPLER: OK,
    Read.NOT_READ: OK,
    Read.UNKNOWN: UNUSED,
}


def asked(facts: ExchangeFacts, functions: tuple[str, ...]) -> int:
    """Return how often one of these functions was called."""
    return sum(row.count for row in facts.functions if row.name in functions)


def of_samplers(facts: ExchangeFacts) -> list[CallbackRow]:
    """Return the Python that samplers call."""
    return [row for row in facts.callbacks if row.name.startswith(SAMPLER_PREFIX)]


def is_unclear(reader: Reader) -> bool:
    """Whether it could be a list as well: only its first float was watched."""
    return reader.how is How.ELEMENTS and reader.whole_row is None


def is_copied(buffer: Buffer) -> bool:
    """Whether rows of it were copied."""
    return _VERDICTS[buffer.verdict] == COPIED


def buffer_verdict(facts: ExchangeFacts) -> Verdict:
    """Return the row's verdict: unused where nobody watched."""
    others = {buffer.name: buffer for buffer in facts.other_buffers}
    watched = [facts.buffer] if asked(facts, LOGITS) else []
    watched += [others.get("embeddings")] if asked(facts, EMBEDDINGS) else []
    if facts.buffer is not None and facts.buffer.address is not None and not watched:
        watched = [facts.buffer]
    verdicts = [_verdict(buffer) for buffer in watched]
    called = of_samplers(facts)
    if called:
        verdicts.append(COPIED if any(row.lists for row in called) else UNUSED)
    return next((one for one in (STALE, COPIED, UNUSED) if one in verdicts), OK)


def _verdict(buffer: Buffer | None) -> Verdict:
    if buffer is None:
        return UNUSED
    if buffer.stale_reads:
        return STALE
    return UNUSED if any(is_unclear(reader) for reader in buffer.readers) else _VERDICTS[buffer.verdict]
