"""What would be put into the engine: the rendered prompt and its tokens. Nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llamactl.engine import Model
from llamactl.run import prompt
from llamactl.run.request import Request
from llamactl.run.template import Renderer


@dataclass(frozen=True, slots=True)
class PromptToken:
    """One token of a prompt; special ones by their name."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class PromptView:
    """A prompt as the engine gets it.

    Attributes:
        prompt: The text after the chat template.
        n_tokens: How many tokens it has.
        tokens: They.
        warnings: What is wrong with it, as sentences.
    """

    prompt: str
    n_tokens: int
    tokens: tuple[PromptToken, ...]
    warnings: tuple[str, ...]


def prompt_view(request: Request, warn: Callable[[str], object]) -> PromptView:
    """Return the prompt of a request and its tokens.

    Args:
        request: Whose prompt.
        warn: Gets a sentence if the template leaves out what the user wrote.

    Raises:
        UsageError: There is no template, or it can't be rendered.
        LlamactlError: The model can't be loaded.
    """
    with Model(request.model, request.model_parameters) as model:
        if request.raw:
            made = prompt.chat_prompt(model, request, None)
        else:
            with Renderer() as renderer:
                made = prompt.chat_prompt(model, request, renderer)
        sentence = None if request.raw else prompt.left_out(made, request)
        if sentence:
            warn(f"{sentence}.")
        vocabulary = model.vocabulary
        tokens = tuple(
            PromptToken(token, vocabulary.piece(token, special=True).decode("utf-8", "backslashreplace"))
            for token in vocabulary.tokenize(made.text)
        )
    return PromptView(made.text, len(tokens), tokens, (f"{sentence}.",) if sentence else ())
