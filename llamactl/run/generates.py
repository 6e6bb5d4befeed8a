"""Whether a model makes text at all, and what an encoder needs: all of a prompt at once."""

from __future__ import annotations

from dataclasses import replace

from llamactl.engine import Context, ContextParameters, Model
from llamactl.errors import UsageError

EMBED = "llamactl run --embed makes them."


def check_model(model: Model) -> None:
    """Refuse a model that makes its text in another way, or none.

    Raises:
        UsageError: It does.
    """
    if model.is_diffusion:
        raise UsageError(
            "this is a diffusion model: it makes a text by denoising all of it",
            "llama-diffusion-cli runs it.",
        )
    if not model.has_decoder:
        raise UsageError("this model is an encoder: it makes embeddings and no text", EMBED)


def check_context(context: Context) -> None:
    """Refuse a model whose context shows that it makes embeddings or ranks; the engine would give noise.

    Raises:
        UsageError: It does.
    """
    if context.model.has_encoder:
        return
    if context.pooling == "rank":
        raise UsageError(
            "this model ranks texts against a query and makes no text",
            "llamactl run --embed gives a text's score.",
        )
    if not context.is_causal or context.pooling not in {"none", "unspecified"}:
        raise UsageError("this model makes embeddings and no text", EMBED)


def at_once(parameters: ContextParameters, n_tokens: int) -> ContextParameters:
    """Return parameters whose batches take a number of tokens at once, as encoders demand."""
    return replace(
        parameters,
        n_batch=max(parameters.n_batch, n_tokens),
        n_ubatch=max(min(parameters.n_ubatch or parameters.n_batch, parameters.n_batch), n_tokens),
    )


def check_at_once(model: Model, parameters: ContextParameters, n_tokens: int, name: str) -> None:
    """Refuse a measurement for which an encoder would need larger batches than were asked for.

    Args:
        model: The model.
        parameters: Of the context.
        n_tokens: To compute at once.
        name: Of the measurement.

    Raises:
        UsageError: They are larger.
    """
    whole = model.has_encoder or not model.is_causal
    if whole and n_tokens > min(parameters.n_ubatch or parameters.n_batch, parameters.n_batch):
        raise UsageError(
            f"{name}: this model computes all tokens of a text at once, {n_tokens} here, and -ub allows "
            f"{parameters.n_ubatch}",
            f"Use -b {max(n_tokens, parameters.n_batch)} -ub {n_tokens}.",
        )
