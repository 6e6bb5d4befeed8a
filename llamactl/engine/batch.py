"""Input of one decode: tokens with their positions, sequences, and whether output is wanted."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from llamactl.engine.native import lib
from llamactl.errors import UsageError


class Batch:
    """A ``llama_batch`` with room for ``capacity`` tokens, filled with :meth:`add`.

    Args:
        capacity: Most tokens it can hold.
        n_seq_max: Most sequences one token can belong to.
    """

    def __init__(self, capacity: int, n_seq_max: int = 1) -> None:
        if capacity < 1 or n_seq_max < 1:
            raise UsageError(f"a batch of {capacity} tokens and {n_seq_max} sequences", "Use 1 or more.")
        self.capacity = capacity
        self.n_seq_max = n_seq_max
        self.native: Any = lib.llama_batch_init(capacity, 0, n_seq_max)
        self.native.n_tokens = 0
        self._finalizer = weakref.finalize(self, lib.llama_batch_free, self.native)

    def __len__(self) -> int:
        return int(self.native.n_tokens)

    def clear(self) -> None:
        """Forget the tokens."""
        self.native.n_tokens = 0

    def add(self, token: int, position: int, sequences: Sequence[int] = (0,), *, output: bool = False) -> int:
        """Add one token and return its index in the batch.

        Args:
            token: The token.
            position: Its position in its sequences.
            sequences: The sequences it belongs to.
            output: Whether logits or an embedding are wanted for it.

        Raises:
            UsageError: The batch is full, or the token belongs to more sequences than there is room for.
        """
        native, index = self.native, len(self)
        if index >= self.capacity:
            raise UsageError(
                f"the batch is full with {self.capacity} tokens", "Decode it, or make a larger one."
            )
        if not 0 < len(sequences) <= self.n_seq_max:
            raise UsageError(
                f"a token of {len(sequences)} sequences, the batch has room for 1 to {self.n_seq_max}",
                "Make the batch with a larger n_seq_max.",
            )
        native.token[index] = token
        native.pos[index] = position
        native.n_seq_id[index] = len(sequences)
        for slot, sequence in enumerate(sequences):
            native.seq_id[index][slot] = sequence
        native.logits[index] = output
        native.n_tokens = index + 1
        return index

    def add_sequence(
        self, tokens: Iterable[int], start: int = 0, sequence: int = 0, *, output: str = "last"
    ) -> None:
        """Add tokens at positions from ``start``; ``output`` is ``all``, ``last`` or ``none``."""
        for position, token in enumerate(tokens, start):
            self.add(token, position, (sequence,), output=output == "all")
        if output == "last" and len(self):
            self.native.logits[len(self) - 1] = True
