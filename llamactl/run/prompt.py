"""From a request to the tokens of its prompt."""

from __future__ import annotations

from llamactl.engine import Model
from llamactl.engine.chat import Message
from llamactl.errors import UsageError
from llamactl.run.request import Request
from llamactl.run.template import Renderer


def messages(request: Request) -> list[Message]:
    """Return the conversation of a request."""
    system: list[Message] = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, {"role": "user", "content": request.prompt}]


def prompt_text(model: Model, request: Request, renderer: Renderer | None) -> str:
    """Return the text to tokenize: the prompt itself, or rendered by the model's chat template.

    Args:
        model: Whose template.
        request: Whose prompt.
        renderer: Not needed for a raw prompt.

    Raises:
        UsageError: The model has no template, or it can't be rendered, or not within its limits.
        KeyboardInterrupt: Ctrl-C while the template was rendered.
    """
    if renderer is None:
        return request.prompt
    template = model.chat_template
    if template is None:
        raise UsageError("the model has no chat template", "Use --raw for plain completion.")
    return renderer.render(template, messages(request), _special_tokens(model))


def _special_tokens(model: Model) -> dict[str, str]:
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
