"""What a model wrote, told apart: its thoughts and its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from llamactl.engine import ChatPrompt, Generated, Model
from llamactl.engine.chat import decoded
from llamactl.errors import LlamactlError
from llamactl.run.template import Renderer


@dataclass(frozen=True, slots=True)
class Told:
    """Thoughts and answer.

    Attributes:
        reasoning: The thoughts; ``None`` where the template knows none, or they can't be told.
        answer: The text without them; ``None`` where they can't be told.
    """

    reasoning: str | None
    answer: str | None


def reply_of(
    model: Model, prompt: ChatPrompt, done: Generated, written: str, warn: Callable[[str], object]
) -> Told:
    """Return the thoughts and the answer in what a model wrote.

    The parser comes of the template, and so from a file: it runs in a child with limits.

    Args:
        model: Who wrote.
        prompt: After what.
        done: Its tokens.
        written: Its text as it was shown.
        warn: Gets a sentence where they can't be told.
    """
    if not prompt.parser or not prompt.thinking_ends:
        return Told(None, written)
    text = _with_markers(model, prompt, done, written)
    try:
        with Renderer() as child:
            found = child.split(
                prompt, text, partial=done.finish_reason != "stop" or done.stopped_by is not None
            )
    except LlamactlError as error:
        warn(f"thoughts and answer can't be told apart: {error.message.strip()}")
        return Told(None, None)
    return Told(found.reasoning, found.answer)


def _with_markers(model: Model, prompt: ChatPrompt, done: Generated, written: str) -> str:
    """Return the text with the special tokens that the parser wants to see: shown text leaves them out."""
    vocabulary = model.vocabulary
    ids = [vocabulary.tokenize(name, add_special=False) for name in prompt.preserved]
    markers = {found[0] for found in ids if len(found) == 1}
    if not markers.intersection(done.tokens):
        return written
    pieces = b"".join(vocabulary.piece(token, special=token in markers) for token in done.tokens)
    text = decoded(pieces)
    return text if done.stopped_by is None else text[: text.find(done.stopped_by)]
