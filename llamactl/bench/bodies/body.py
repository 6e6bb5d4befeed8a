"""What every test shares: the interface of its work, its context, its tokens."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

from llamactl.bench.plan import BenchTest, Setup
from llamactl.engine import Context, ContextParameters, Model
from llamactl.run.generates import check_at_once
from llamactl.run.room import check_room

SEED = 1


@dataclass(frozen=True, slots=True)
class Work:
    """What one repetition did besides taking time."""

    tokens: int
    python_ns: int | None = None
    steps_ns: dict[str, int] = field(default_factory=dict)


class Body(Protocol):
    """One test with its context in place: ``reset`` and ``warm_up`` aren't timed, ``run`` is."""

    context: Context

    def warm_up(self) -> int:
        """Do a little of the work, or all of it, and return the tokens."""

    def reset(self) -> None:
        """Prepare one repetition."""

    def run(self) -> Work:
        """Do the work of one repetition."""


def context_parameters(setup: Setup, n_ctx: int, n_seq: int = 1) -> ContextParameters:
    """Return the context of a test: just large enough, as llama-bench makes it."""
    return ContextParameters(
        n_ctx=n_ctx,
        n_batch=setup.n_batch,
        n_ubatch=setup.n_ubatch,
        n_seq_max=n_seq,
        n_threads=setup.n_threads,
        n_threads_batch=setup.n_threads,
        type_k=setup.type_k,
        type_v=setup.type_v,
        flash_attention=setup.flash_attn,
        embeddings=setup.embeddings,
        offload_kqv=not setup.no_kv_offload,
    )


def test_context(model: Model, parameters: ContextParameters, test: BenchTest, at_once: int) -> Context:
    """Return the context of a test, if it fits into memory and the model can compute it so.

    Args:
        model: The model.
        parameters: Of the context.
        test: For messages.
        at_once: Tokens that an encoder would have to compute together.

    Raises:
        UsageError: The batch is too small for an encoder.
        LlamactlError: It doesn't fit.
    """
    check_at_once(model, parameters, at_once, test.name)
    context = Context(model, check_room(model, parameters))
    context.abort_on_interrupt()
    return context


def random_tokens(model: Model, count: int) -> list[int]:
    """Return the same random tokens every time, the first one BOS where the model wants it."""
    source, vocabulary = random.Random(SEED), model.vocabulary  # noqa: S311 - not a secret
    tokens = [source.randrange(vocabulary.size) for _ in range(count)]
    if tokens and vocabulary.adds_bos and vocabulary.bos is not None:
        tokens[0] = vocabulary.bos
    return tokens
