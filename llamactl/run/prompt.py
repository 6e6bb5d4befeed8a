"""From a request to the tokens of its prompt."""

from __future__ import annotations

import json
from dataclasses import replace

from llamactl.engine import ChatPrompt, Model, ReasoningBudget, Template, template_of
from llamactl.engine.chat import Message
from llamactl.errors import UsageError
from llamactl.run.request import Chat, Request
from llamactl.run.template import Renderer


def messages(request: Request) -> list[Message]:
    """Return the conversation of a request."""
    system: list[Message] = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, {"role": "user", "content": request.prompt}]


def chat_prompt(model: Model, request: Request, renderer: Renderer | None) -> ChatPrompt:
    """Return the prompt: as it is, or rendered by the model's chat template or the one that was asked for.

    Args:
        model: Whose template.
        request: Whose prompt.
        renderer: Not needed for a raw prompt.

    Raises:
        UsageError: The model has no template, or it can't be rendered, or not within its limits.
        KeyboardInterrupt: Ctrl-C while the template was rendered.
    """
    if renderer is None:
        return ChatPrompt(request.prompt)
    template = _template(model, request.chat)
    if template is None:
        raise UsageError(
            "the model has no chat template", "Use --raw for plain completion, or --chat-template chatml."
        )
    return renderer.render(template, messages(request))


def left_out(prompt: ChatPrompt, request: Request) -> str | None:
    """Return a sentence if a prompt lacks what the user wrote: the template leaves it out."""
    for name, text in (("prompt", request.prompt), ("system message", request.system)):
        if not _holds(prompt.text, text):
            return f"the chat template leaves the {name} out"
    return None


def check_whole(prompt: ChatPrompt, request: Request) -> None:
    """Raise :class:`UsageError` if a prompt lacks what the user wrote."""
    if sentence := left_out(prompt, request):
        raise UsageError(
            sentence,
            "See what it makes with --show-prompt; take another one with --chat-template, or none with --raw.",
        )


def _template(model: Model, chat: Chat) -> Template | None:
    template = template_of(model, **({} if chat.template is None else {"source": chat.template}))
    if template is None:
        return None
    arguments, thinking = dict(chat.arguments), chat.thinking
    if thinking is None:
        # llama.cpp's programs: the template reads true unless it is told otherwise.
        thinking = arguments.get("enable_thinking") is not False
    else:
        arguments["enable_thinking"] = thinking
    return replace(template, arguments=arguments, thinking=thinking)


def _holds(prompt: str, text: str) -> bool:
    """Tell whether a prompt has a text in it: templates may trim it, wrap it, or write it as JSON."""
    found = _squeezed(prompt)
    ways = (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
    return any(_squeezed(way) in found for way in ways)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def reasoning_budget(prompt: ChatPrompt, chat: Chat) -> ReasoningBudget | None:
    """Return how long the model may think, or ``None`` if nothing limits it or the template knows no thinking."""
    if chat.budget < 0 or not (prompt.thinking_start and prompt.thinking_ends):
        return None
    return ReasoningBudget(
        chat.budget,
        prompt.thinking_start,
        prompt.thinking_ends,
        chat.budget_message,
        prompt.generation_prompt,
    )
