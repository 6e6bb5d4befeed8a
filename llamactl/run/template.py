"""The model's chat template, rendered in a child: it may loop for ever, or want all memory."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence

from llamactl.engine.chat import MAX_PROMPT_CHARACTERS, Message, render
from llamactl.errors import UsageError
from llamactl.run.limited_child import LimitedChild, LimitError, Limits

TEMPLATE_LIMIT_S = 20.0
"""A template takes milliseconds; a loaded machine may make it seconds."""
MEMORY_BYTES = 256 * 2**20
"""A prompt of the greatest length takes some 100 MiB while it is put together."""
MAX_TEMPLATE_CHARACTERS = 2**20
"""The longest in use have some 20,000; of a megabyte of noise Jinja makes 20 MB in half a second."""


class Renderer:
    """Renders chat templates. Use it as a context manager; start it early, while this process is small."""

    def __init__(self) -> None:
        self._child = LimitedChild(_serve, _prepare)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child that renders."""
        self._child.close()

    def render(self, template: str, messages: Sequence[Message], tokens: Mapping[str, str]) -> str:
        """Return the prompt that a template makes.

        Raises:
            UsageError: It can't be rendered, refuses the conversation, or takes too much time or memory.
            KeyboardInterrupt: Ctrl-C meanwhile.
        """
        if len(template) > MAX_TEMPLATE_CHARACTERS:
            raise _refused(f"it has {len(template):,} characters, more than {MAX_TEMPLATE_CHARACTERS:,}")
        limits = Limits(TEMPLATE_LIMIT_S, MEMORY_BYTES, 4 * MAX_PROMPT_CHARACTERS)
        request = json.dumps([template, list(messages), dict(tokens)]).encode()
        try:
            return self._child.ask(request, limits).decode("utf-8", "surrogatepass")
        except LimitError as error:
            raise _refused(str(error)) from error


def _prepare() -> None:
    for name in ("jinja2.sandbox", "jinja2.ext"):
        importlib.import_module(name)


def _serve(request: bytes) -> bytes:
    template, messages, tokens = json.loads(request)
    return render(template, messages, **tokens).encode("utf-8", "surrogatepass")


def _refused(why: str) -> UsageError:
    return UsageError(
        f"the model's chat template can't be rendered ({why})", "Use --raw for plain completion."
    )
