"""From a request to the tokens of its prompt."""

from __future__ import annotations

from typing import Any

from llamactl.engine import Model
from llamactl.engine.chat import Message, render
from llamactl.errors import UsageError
from llamactl.run.request import Request
from llamactl.run.time_limit import time_limit

TEMPLATE_LIMIT_S = 20.0
"""A template takes milliseconds; a slow disk may make the import of jinja2 take seconds."""


def messages(request: Request) -> list[Message]:
    """Return the conversation of a request."""
    system: list[Message] = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, {"role": "user", "content": request.prompt}]


def prompt_text(model: Model, request: Request) -> str:
    """Return the text to tokenize: the prompt itself, or rendered by the model's chat template.

    Raises:
        UsageError: The model has no template, or it can't be rendered, or not in time.
        KeyboardInterrupt: Ctrl-C while the template was rendered.
    """
    if request.raw:
        return request.prompt
    template = model.chat_template
    if template is None:
        raise UsageError("the model has no chat template", "Use --raw for plain completion.")
    with time_limit(TEMPLATE_LIMIT_S):
        return render(template, messages(request), **_special_tokens(model))


def _special_tokens(model: Model) -> dict[str, Any]:
    vocabulary = model.vocabulary
    return {
        name: "" if token is None else vocabulary.piece(token, special=True).decode("utf-8", "replace")
        for name, token in (("bos_token", vocabulary.bos), ("eos_token", vocabulary.eos))
    }


def tokenize(model: Model, text: str, raw: bool) -> list[int]:
    """Return the tokens of the text; the template may have written BOS already.

    In a raw prompt ``<|…|>`` is read as the special token of that name too, as llama.cpp's programs do.
    """
    vocabulary = model.vocabulary
    tokens = vocabulary.tokenize(text)
    if not raw and vocabulary.adds_bos and tokens[:2] == [vocabulary.bos] * 2:
        return tokens[1:]
    return tokens
