"""How much of a token the samplers take, and whether a grammar does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.mechanisms.interface.callbacks import SAMPLER_PREFIX, callbacks_of, lie_in
from llamactl.trace.mechanisms.interface.crossings import Tokens, sums_by_token
from llamactl.trace.mechanisms.interface.exchange import Exchange, durations, outermost

GRAMMAR = "llama_sampler_init_grammar"


@dataclass(frozen=True, slots=True)
class SamplerShare:
    """What choosing tokens takes.

    Attributes:
        tokens: How many tokens that is over.
        sampler_ns: In samplers, in all.
        token_ns: How long the tokens took in all.
        grammars: How many grammar samplers were made while it was recorded.
    """

    tokens: int
    sampler_ns: int
    token_ns: int
    grammars: int

    @property
    def share(self) -> float:
        """Of a token's time."""
        return self.sampler_ns / self.token_ns if self.token_ns else 0.0


def in_samplers(exchange: Exchange, rows: Tokens) -> IntArray:
    """Return the time in samplers of each token, without what they call back and what they wait for, ns."""
    calls = exchange.calls
    named = np.array(
        [function.name.startswith(SAMPLER_PREFIX) for function in exchange.functions], dtype=bool
    )
    samplers = calls[named[calls["nr"]]]
    samplers = samplers[outermost(samplers)]
    spent = sums_by_token(rows.start, rows.length_ns, rows.tid, samplers, durations(samplers))
    called = callbacks_of(exchange)
    called = called[lie_in(called, samplers)]
    spent -= sums_by_token(rows.start, rows.length_ns, rows.tid, called, durations(called))
    waited = exchange.awaited.by_waiter(calls)
    waited[~named[calls["nr"]]] = 0  # What a sampler waits for is the decode's work.
    return spent - sums_by_token(rows.start, rows.length_ns, rows.tid, calls, waited)


def sampler_share(exchange: Exchange, rows: Tokens) -> SamplerShare | None:
    """Return it; None where no token was made."""
    if not len(rows):
        return None
    grammar = np.array([function.name.startswith(GRAMMAR) for function in exchange.functions], dtype=bool)
    made = exchange.calls[grammar[exchange.calls["nr"]]]
    spent = int(in_samplers(exchange, rows).sum())
    return SamplerShare(len(rows), spent, int(rows.length_ns.sum()), int((made["ret"] != 0).sum()))
