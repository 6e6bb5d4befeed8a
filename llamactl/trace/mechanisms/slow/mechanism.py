"""Slow tokens: which took far longer than the others, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llamactl.trace.capture.arrays import IntArray
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.gil.garbage import Garbage
from llamactl.trace.mechanisms.gil.mechanism import GilFacts
from llamactl.trace.mechanisms.gpu.gpu_calls import GpuCalls
from llamactl.trace.mechanisms.interface.crossings import Tokens, tokens
from llamactl.trace.mechanisms.interface.exchange import unfinished
from llamactl.trace.mechanisms.interface.exchange_facts import ExchangeFacts
from llamactl.trace.mechanisms.mechanism import Drawn, Mechanism
from llamactl.trace.mechanisms.requests.requests import DECODES
from llamactl.trace.mechanisms.slow.slow_measures import Evidence
from llamactl.trace.mechanisms.slow.slow_tokens import SlowToken, slow_tokens

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.scene import Piece, Scene


@dataclass(frozen=True)
class SlowFacts:
    """Tokens that took far longer than the others."""

    slow_tokens: list[SlowToken]


class Slow(Mechanism[SlowFacts]):
    """Slow tokens; they have a part of the report of their own."""

    name = "slow"
    facts = SlowFacts

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._gpu_calls = GpuCalls(scene.names)

    def add(self, piece: Piece) -> None:
        """Keep the calls to a GPU's driver."""
        self._gpu_calls.add(piece.view, piece.names)

    def draw(self, drawn: Drawn) -> SlowFacts:
        """Return the slow tokens, each with what explains it."""
        scene, found = self.scene, self.scene.exchange
        if found is None or found.per_token.in_c_us is None:
            return SlowFacts([])
        rows, kernel = found.tokens, scene.kernel
        if unfinished(found.exchange.calls[found.exchange.named(*DECODES)]):
            rows = tokens(found.exchange, still_open=True)  # A token that hangs is the slowest of all.
        evidence = Evidence(
            system_calls=kernel[kernel["kind"] == Kind.SYSCALL] if kernel is not None else None,
            gpu_calls=self._gpu_calls.records(),
            scheduling=scene.scheduling,
            faults=kernel[kernel["kind"] == Kind.FAULT] if kernel is not None and scene.faults else None,
            place=scene.faults.place if scene.faults else None,
            collecting=_collecting(found, rows, drawn.of(GilFacts).garbage),
        )
        return SlowFacts(slow_tokens(found.exchange, rows, found.gil.waits, evidence))


def _collecting(exchange: ExchangeFacts, rows: Tokens, collected: Garbage | None) -> IntArray | None:
    """Return the collector's time in each token; one that was still open isn't among those it was looked up for."""
    if collected is None or collected.token_ns is None:
        return None
    found = np.zeros(len(rows), np.int64)
    found[np.isin(rows.index, exchange.tokens.index)] = collected.token_ns
    return found
