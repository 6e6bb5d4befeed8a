"""What a capture tells of the exchange between Python and llama.cpp: calls, GIL, tokens, bindings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.buffers.buffers import Buffer, watched_buffer
from llamactl.trace.mechanisms.gil.gil import GilReport, gil_report
from llamactl.trace.mechanisms.inner import INNER
from llamactl.trace.mechanisms.interface.binding import Binding, bindings, engine_copies
from llamactl.trace.mechanisms.interface.callbacks import CallbackRow, callback_rows
from llamactl.trace.mechanisms.interface.crossings import (
    FunctionRow,
    PerToken,
    Tokens,
    function_rows,
    per_token,
    times_known,
    tokens,
    vocabulary_size,
)
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.requests.requests import Request, decodes_of

if TYPE_CHECKING:
    from llamactl.trace.capture.reader import Capture


@dataclass(frozen=True)
class ExchangeFacts:
    """The exchange of one capture.

    Attributes:
        functions: Per function of llama.cpp.
        gil: Held or released, waits, verdict.
        bindings: Who calls, and how that is known.
        engine_copies: The objects that define ``llama_*``; more than one means several copies in the process.
        per_token: Averages.
        tokens: One row per generated token.
        requests: One row per prompt, with what it computed and took from the cache.
        calls_lost: Records of calls that were lost.
        python: The Python's version as the agent saw it; None without Python.
        exchange: The records themselves.
        buffer: Who reads the logits; None where they weren't watched.
        other_buffers: The same of embeddings and the state, if they were handed out.
        callbacks: Python that llama.cpp called in the middle of a call.
    """

    functions: list[FunctionRow] = field(metadata=INNER)
    gil: GilReport
    bindings: list[Binding]
    engine_copies: list[str]
    per_token: PerToken
    calls_lost: int
    tokens: Tokens = field(metadata=INNER)
    requests: list[Request] = field(metadata=INNER)
    python: str | None
    exchange: Exchange = field(metadata=INNER)
    buffer: Buffer | None = None
    other_buffers: tuple[Buffer, ...] = ()
    callbacks: tuple[CallbackRow, ...] = ()

    @property
    def calls_inside(self) -> bool:
        """Whether llama.cpp lies inside the extension module: its calls aren't made by Python code."""
        return bool(self.bindings) and self.bindings[0].inside

    @property
    def batched(self) -> bool:
        """Whether a decode takes tokens of several requests (``llama_process``): how many isn't kept."""
        return any(row.name == "llama_process" for row in self.functions) or bool(
            (self.tokens.batch > 1).any()
        )


def exchange_facts(capture: Capture) -> ExchangeFacts | None:
    """Return the facts; ``None`` where the agent saw no call."""
    table = capture.metadata.get("function_table")
    functions = [Function.from_metadata(row) for row in table] if isinstance(table, list) else []
    if not functions:
        return None
    agent: dict[str, Any] = capture.metadata.get("agent") or {}
    exchange = Exchange.of_capture(capture)
    if not len(exchange.calls):
        return None
    decodes = decodes_of(exchange)
    rows = tokens(exchange, decodes)
    watched = _watched(capture, exchange)
    return ExchangeFacts(
        functions=function_rows(exchange),
        gil=gil_report(exchange),
        bindings=bindings(exchange, capture.metadata.get("binding")),
        engine_copies=engine_copies(exchange),
        per_token=per_token(rows, times_known(exchange, rows)),
        calls_lost=exchange.lost,
        tokens=rows,
        requests=decodes.requests,
        python=agent.get("python") or None,
        exchange=exchange,
        buffer=watched[0] if watched else None,
        other_buffers=tuple(watched[1:]),
        callbacks=tuple(callback_rows(exchange, vocabulary_size(exchange))),
    )


def _watched(capture: Capture, exchange: Exchange) -> list[Buffer]:
    """Return the logits, and whatever else was watched; empty when nobody did or could."""
    watch = capture.metadata.get("watch")
    if not isinstance(watch, dict):
        return []
    touches = [chunk[chunk["kind"] == Kind.WATCH] for chunk in capture.chunks()]
    records = np.concatenate(touches) if touches else np.empty(0, RECORD)
    if watch.get("pid"):
        records = records[records["pid"] == watch["pid"]]  # A forked child inherits the watchpoints.
    facts = [watch, *(watch.get("others") or [])]
    return [watched_buffer(records, exchange, one, capture.text) for one in facts]
