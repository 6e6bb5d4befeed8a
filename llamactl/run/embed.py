"""The embeddings of texts, or how well they fit a query: one model, one context, one text after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llamactl.engine import Batch, Context, ContextParameters, Model, ModelParameters, guard
from llamactl.errors import EXIT_INTERRUPTED, LlamactlError, UsageError
from llamactl.run.extras import Extras
from llamactl.run.generates import at_once
from llamactl.run.room import check_room

SEPARATOR = "\t"
"""Between a query and a document (``cls_sep`` of llama.cpp's llama-embedding)."""


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What a person asks.

    Attributes:
        model: The GGUF file.
        texts: For a model that ranks: query, tab, document.
        model_parameters: How to load.
        context_parameters: Threads, types; ``pooling`` "unspecified" takes the model's.
        extras: Adapters and places of threads.
    """

    model: Path
    texts: tuple[str, ...]
    model_parameters: ModelParameters
    context_parameters: ContextParameters
    extras: Extras = Extras()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text.

    Attributes:
        index: Its place, from 0.
        text: As given.
        n_tokens: It became.
        pooling: How its tokens' embeddings became one: ``mean``, ``cls``, ``last`` or ``rank``.
        embedding: Of length 1 by the Euclidean norm; None from a model that ranks.
        scores: By class, of a model that ranks: one without a name is a score; None from others.
    """

    index: int
    text: str
    n_tokens: int
    pooling: str
    embedding: tuple[float, ...] | None
    scores: dict[str, float] | None


class InterruptedEmbeddingError(LlamactlError):
    """Ctrl-C before all texts were done."""

    exit_code = EXIT_INTERRUPTED


def embed(request: EmbedRequest, on_warning: Callable[[str], object]) -> Iterator[Embedded]:
    """Yield what each text becomes, as soon as it is known.

    Raises:
        UsageError: A text is empty, too long for the model, or isn't a pair where the model ranks pairs.
        LlamactlError: The engine failed.
    """
    with guard.interruptible(), Model(request.model, request.model_parameters) as model:
        for line in model.warnings:
            on_warning(line)
        if model.is_diffusion:
            raise UsageError("this model makes no embeddings", "Give an embedding model.")
        tokens = [_tokens(model, text, f"text {number}") for number, text in enumerate(request.texts, 1)]
        parameters = _parameters(model, request.context_parameters, max(map(len, tokens)))
        with Context(model, check_room(model, parameters)) as context:
            request.extras.apply(context)
            context.abort_on_interrupt()
            for index, (text, found) in enumerate(zip(request.texts, tokens, strict=True)):
                yield _one(context, index, text, found)
                if guard.interrupted():
                    raise InterruptedEmbeddingError("interrupted")


def _tokens(model: Model, text: str, name: str) -> list[int]:
    tokens = model.vocabulary.tokenize(_rank_prompt(model, text) if SEPARATOR in text else text)
    if not tokens:
        raise UsageError(f"{name} has no tokens", "Leave it out.")
    if len(tokens) > model.n_ctx_train:
        raise UsageError(f"{name} has {len(tokens)} tokens, the model takes {model.n_ctx_train}", "Split it.")
    return tokens


def _rank_prompt(model: Model, text: str) -> str:
    """Return query and document as the model wants them, if it ranks (``examples/embedding`` of llama.cpp)."""
    vocabulary = model.vocabulary
    if model.meta(f"{model.meta('general.architecture')}.pooling_type") != "4":
        return text
    template = model.named_template("rerank")
    parts = text.split(SEPARATOR)
    if template is not None:
        return template.replace("{query}", parts[0]).replace("{document}", parts[1])
    between = "".join(
        vocabulary.piece(token, special=True).decode("utf-8", "replace")
        for token, wanted in ((vocabulary.eos, vocabulary.adds_eos), (vocabulary.sep, vocabulary.adds_sep))
        if wanted and token is not None
    )
    return between.join(parts)


def _parameters(model: Model, asked: ContextParameters, most: int) -> ContextParameters:
    own = model.meta(f"{model.meta('general.architecture')}.pooling_type")
    pooling = "mean" if asked.pooling == "unspecified" and own in {None, "0"} else asked.pooling
    return at_once(replace(asked, n_ctx=max(asked.n_ctx, most), embeddings=True, pooling=pooling), most)


def _one(context: Context, index: int, text: str, tokens: Sequence[int]) -> Embedded:
    batch = Batch(len(tokens))
    batch.add_sequence(tokens, output="all")
    context.kv.clear(data=False)
    compute = context.encode if context.model.has_encoder else context.decode
    compute(batch)
    values = context.sequence_embedding(0)
    if context.pooling == "rank":
        labels = context.model.class_labels or ("",)
        names = [
            label or ("score" if len(labels) == 1 else str(number)) for number, label in enumerate(labels)
        ]
        scores = dict(zip(names, _finite(values[: len(labels)]), strict=True))
        return Embedded(index, text, len(tokens), "rank", None, scores)
    return Embedded(index, text, len(tokens), context.pooling, _normal(_finite(values[:])), None)


def _finite(values: Sequence[float]) -> list[float]:
    if not all(map(math.isfinite, values)):
        raise LlamactlError(
            "the model's output isn't a number", "Its weights may be damaged: --check-tensors."
        )
    return list(values)


def _normal(values: Sequence[float]) -> tuple[float, ...]:
    length = math.sqrt(math.fsum(value * value for value in values))
    return tuple(value / length for value in values) if length else tuple(values)
