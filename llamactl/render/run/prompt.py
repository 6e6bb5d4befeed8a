"""A prompt as the engine gets it: its text, or one line a token."""

from __future__ import annotations

from llamactl.render.document import document, dumps
from llamactl.render.safe import safe_text
from llamactl.run.prompt_view import PromptView

SCHEMA_VERSION = 1


def prompt_document(view: PromptView) -> str:
    """Return the document of ``--show-prompt --json``."""
    return dumps(document("run.prompt", SCHEMA_VERSION, view))


def token_lines(view: PromptView) -> str:
    """Return one line a token: its number and its text, quoted."""
    width = max((len(str(token.id)) for token in view.tokens), default=1)
    return "\n".join(f"{token.id:>{width}}  {safe_text(repr(token.text))}" for token in view.tokens)
