"""Conversations: a model's chat template makes a prompt of one, and what it writes has thoughts and an answer.

Both are llama.cpp's own (``common/chat.cpp``). A template is a program from a file that anyone may have made, and
nothing here bounds its time and memory: see :mod:`llamactl.run.template`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llamactl.engine.common import RefusedError, parts, span
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError

if TYPE_CHECKING:
    from llamactl.engine.model import Model

Message = Mapping[str, str]
"""One message: ``{"role": "user", "content": "…"}``."""

CHATML = "chatml"
"""The name of the template that llama.cpp takes where a file has an empty one."""
RENDERED_PARTS, SPLIT_PARTS = 7, 2


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template and what it may read besides the conversation.

    Attributes:
        source: Jinja.
        bos: Text of the token that begins a sequence.
        eos: Text of the token that ends one.
        adds_bos: The tokenizer adds it; where the template writes it, too, it is taken away.
        adds_eos: Likewise.
        arguments: Variables for the template (``--chat-template-kwargs``).
        thinking: What it reads as ``enable_thinking``.
    """

    source: str
    bos: str = ""
    eos: str = ""
    adds_bos: bool = False
    adds_eos: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    thinking: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote: its thoughts, and its answer without them."""

    reasoning: str
    answer: str


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A prompt that a template made.

    Attributes:
        text: The prompt, up to where the answer begins. Bytes that aren't UTF-8 are surrogate escapes.
        generation_prompt: What of it belongs to the answer already, such as ``<|im_start|>assistant``.
        thinking_start: What begins a thought, such as ``<think>``; empty if the template knows none.
        thinking_ends: What ends one.
        preserved: Special tokens that :meth:`split` wants to find in the text.
        format: llama.cpp's kind of the parser.
        parser: llama.cpp's parser of the answer; empty where it could make none.
    """

    text: str
    generation_prompt: str = ""
    thinking_start: str = ""
    thinking_ends: tuple[str, ...] = ()
    preserved: tuple[str, ...] = ()
    format: int = 0
    parser: str = ""

    def split(self, text: str, *, partial: bool = False) -> Reply:
        """Return the thoughts and the answer of what a model wrote after this prompt.

        Args:
            text: What it wrote.
            partial: It was cut short: by a limit, a stop string or Ctrl-C.

        Raises:
            LlamactlError: It isn't as the template's answers are.
        """
        if not self.parser:
            return Reply("", text)
        keep: list[Any] = []
        reply = ffi.new(
            "struct llamactl_reply *",
            {
                "format": self.format,
                "parser": span(encoded(self.parser), keep),
                "generation_prompt": span(encoded(self.generation_prompt), keep),
                "text": span(encoded(text), keep),
                "is_partial": partial,
            },
        )
        reasoning, answer = parts(lib.llamactl_chat_split(reply), SPLIT_PARTS)
        return Reply(decoded(reasoning), decoded(answer))


def encoded(text: str) -> bytes:
    """Return the bytes of a text, surrogate escapes as the bytes they stand for.

    Raises:
        UsageError: It has a surrogate that stands for nothing.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise UsageError(f"the text has a lone surrogate at {error.start}", "Take it out.") from error


def decoded(data: bytes) -> str:
    """Return a text of bytes, as :func:`encoded` takes it."""
    return data.decode("utf-8", "surrogateescape")


def render(template: Template, messages: Sequence[Message]) -> ChatPrompt:
    r"""Return the prompt that a template makes of a conversation, as llama.cpp's programs do.

    Content comes to the template as it wants it, as text or as a list of parts. For a template that knows no
    system role the system message goes before the user's text.

    Raises:
        UsageError: The template is broken, or refuses the conversation.
        MemoryError: It wants more than there is.

    Example:
        >>> source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        >>> render(Template(source), [{"role": "user", "content": "Hello"}]).text
        'user: Hello\n'
    """
    keep: list[Any] = []
    texts = [span(encoded(message[name]), keep) for message in messages for name in ("role", "content")]
    native = ffi.new("struct llamactl_span[]", texts)
    chat = ffi.new(
        "struct llamactl_chat *",
        {
            "source": span(encoded(template.source or CHATML), keep),
            "bos": span(encoded(template.bos), keep),
            "eos": span(encoded(template.eos), keep),
            "adds_bos": template.adds_bos,
            "adds_eos": template.adds_eos,
            "messages": native,
            "n_messages": len(messages),
            "arguments": span(json.dumps(dict(template.arguments)).encode(), keep),
            "thinking": template.thinking,
        },
    )
    try:
        found = [decoded(part) for part in parts(lib.llamactl_chat_render(chat), RENDERED_PARTS)]
    except RefusedError as error:
        raise UsageError(
            f"the chat template refuses this conversation: {error.message}", "Use --raw for plain completion."
        ) from None
    except LlamactlError as error:
        raise UsageError(
            f"the model's chat template can't be rendered ({_why(error.message)})",
            "Use --raw for plain completion, or --chat-template for another one.",
        ) from None
    text, generation_prompt, kind, parser, start, ends, preserved = found
    return ChatPrompt(
        text,
        generation_prompt,
        start,
        tuple(json.loads(ends)),
        tuple(json.loads(preserved)),
        int(kind),
        parser,
    )


def _why(message: str) -> str:
    """Return the reason out of Jinja's report, which shows the place in the source over several lines."""
    head, error, reason = message.rpartition("Error: ")
    _, found, place = head.partition(" at ")
    line = place.partition(" in source")[0] if found else ""
    if not error or not line:
        return next((line.strip() for line in message.splitlines() if line.strip()), "no reason is given")
    return f"{reason.strip()}, {line}"


def end_without_memory(status: int) -> None:
    """End this process with a status when C++ gets no memory: a template would catch that and go on."""
    lib.llamactl_end_without_memory(status)


def template_of(model: Model, **changes: Any) -> Template | None:
    """Return the chat template of a model's file, or ``None`` if it has none.

    Args:
        model: Whose.
        changes: Fields of :class:`Template` that shall be otherwise, such as ``thinking=False``; with ``source``
            the file needs none.

    Example:
        >>> prompt = render(template_of(model), [{"role": "user", "content": "What is 2 + 2?"}])
        >>> done = generate(context, sampler, model.vocabulary.tokenize(prompt.text), on_text=parts.append)
        >>> reply = prompt.split("".join(parts), partial=done.finish_reason != "stop")
        >>> reply.reasoning, reply.answer
    """
    source = changes.pop("source", None)
    if source is None and (source := model.chat_template) is None:
        return None
    vocabulary = model.vocabulary
    bos, eos = (
        "" if token is None else decoded(vocabulary.piece(token, special=True))
        for token in (vocabulary.bos, vocabulary.eos)
    )
    return Template(source, bos, eos, vocabulary.adds_bos, vocabulary.adds_eos, **changes)
