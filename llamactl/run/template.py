"""Chat templates and the parsers of answers that come of them, in a child: they may loop for ever, or want all memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from llamactl.engine.chat import (
    ChatPrompt,
    Message,
    Reply,
    Template,
    decoded,
    encoded,
    end_without_memory,
    render,
)
from llamactl.errors import LlamactlError, UsageError
from llamactl.run.limited_child import NO_MEMORY, LimitedChild, LimitError, Limits

TEMPLATE_LIMIT_S = 20.0
"""A template takes milliseconds; a loaded machine may make it seconds."""
MEMORY_BYTES = 256 * 2**20
"""A prompt of the greatest length takes some 100 MiB while it is put together."""
MAX_TEMPLATE_CHARACTERS = 2**20
"""The longest in use have some 20,000."""
MAX_PROMPT_BYTES = 64 * 2**20
_LENGTH = struct.Struct("<Q")


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

    def render(self, template: Template, messages: Sequence[Message]) -> ChatPrompt:
        """Return the prompt that a template makes: see :func:`llamactl.engine.chat.render`.

        Raises:
            UsageError: It can't be rendered, refuses the conversation, or takes too much time or memory.
            KeyboardInterrupt: Ctrl-C meanwhile.
        """
        if len(template.source) > MAX_TEMPLATE_CHARACTERS:
            raise _refused(
                f"it has {len(template.source):,} characters, more than {MAX_TEMPLATE_CHARACTERS:,}"
            )
        request = json.dumps([asdict(template), [dict(message) for message in messages]])
        try:
            answer = self._child.ask(b"r" + request.encode(), _limits())
        except LimitError as error:
            raise _refused(str(error)) from error
        return _prompt(answer)

    def split(self, prompt: ChatPrompt, text: str, *, partial: bool) -> Reply:
        """Return the thoughts and the answer in what a model wrote: see :meth:`ChatPrompt.split`.

        Raises:
            LlamactlError: It isn't as the template's answers are, or takes too much time or memory.
            KeyboardInterrupt: Ctrl-C meanwhile.
        """
        request = json.dumps([asdict(prompt), text, partial])
        try:
            reasoning, answer = _unpacked(self._child.ask(b"s" + request.encode(), _limits()))
        except LimitError as error:
            raise LlamactlError(str(error)) from error
        return Reply(decoded(reasoning), decoded(answer))


def _limits() -> Limits:
    return Limits(TEMPLATE_LIMIT_S, MEMORY_BYTES, MAX_PROMPT_BYTES)


def _prepare() -> None:
    end_without_memory(NO_MEMORY)


def _serve(request: bytes) -> bytes:
    what = json.loads(request[1:])
    if request[:1] == b"r":
        prompt = render(Template(**what[0]), what[1])
        rest = {**asdict(prompt), "text": ""}
        return _packed(encoded(prompt.text), json.dumps(rest).encode())
    reply = _chat_prompt(what[0]).split(what[1], partial=what[2])
    return _packed(encoded(reply.reasoning), encoded(reply.answer))


def _prompt(answer: bytes) -> ChatPrompt:
    text, rest = _unpacked(answer)
    return _chat_prompt({**json.loads(rest), "text": decoded(text)})


def _chat_prompt(fields: Mapping[str, object]) -> ChatPrompt:
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return ChatPrompt(**{**fields, **lists})  # type: ignore[arg-type]


def _packed(first: bytes, second: bytes) -> bytes:
    return _LENGTH.pack(len(first)) + first + second


def _unpacked(data: bytes) -> tuple[bytes, bytes]:
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    return data[_LENGTH.size : end], data[end:]


def _refused(why: str) -> UsageError:
    return UsageError(
        f"the model's chat template can't be rendered ({why})", "Use --raw for plain completion."
    )
