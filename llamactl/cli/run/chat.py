"""Options of chat templates and of thinking, with llama.cpp's names, and what they ask of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

if TYPE_CHECKING:
    from llamactl.run.request import Chat

# llama.cpp's words (common/arg.cpp).
THINKING = {
    **dict.fromkeys(("on", "enabled", "true", "1"), True),
    **dict.fromkeys(("off", "disabled", "false", "0"), False),
    **dict.fromkeys(("auto", "-1"), None),
}


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How a conversation becomes a prompt, and how long the model may think."""

    chat_template: Annotated[
        str | None,
        Option("--chat-template", metavar="JINJA", envvar="LLAMA_ARG_CHAT_TEMPLATE",
               help="A chat template in place of the model's own: Jinja, or chatml."),
    ] = None  # fmt: skip
    chat_template_file: Annotated[
        str | None,
        Option("--chat-template-file", metavar="FILE", envvar="LLAMA_ARG_CHAT_TEMPLATE_FILE",
               help="The same, from a file."),
    ] = None  # fmt: skip
    chat_template_kwargs: Annotated[
        str | None,
        Option("--chat-template-kwargs", metavar="JSON", envvar="LLAMA_ARG_CHAT_TEMPLATE_KWARGS",
               help='Variables for the template, such as {"documents": []}.'),
    ] = None  # fmt: skip
    reasoning: Annotated[
        str,
        Option("-rea", "--reasoning", metavar="MODE", envvar="LLAMA_ARG_REASONING",
               help="Let the model think before it answers: on, off, or auto (as the template likes)."),
    ] = "auto"  # fmt: skip
    reasoning_effort: Annotated[
        str,
        Option("--reasoning-effort", metavar="LEVEL", envvar="LLAMA_ARG_REASONING_EFFORT",
               help="How much, for templates that know it: low, medium, high …"),
    ] = "default"  # fmt: skip
    reasoning_budget: Annotated[
        int,
        Option("--reasoning-budget", metavar="N", envvar="LLAMA_ARG_THINK_BUDGET",
               help="Most tokens of a thought; 0 ends it at once, -1 is as many as it likes."),
    ] = -1  # fmt: skip
    reasoning_budget_message: Annotated[
        str,
        Option("--reasoning-budget-message", metavar="TEXT", envvar="LLAMA_ARG_THINK_BUDGET_MESSAGE",
               help="Put in before a thought is ended."),
    ] = ""  # fmt: skip


def chat_of(options: ChatOptions) -> Chat:
    """Return how a conversation becomes a prompt, from options.

    Raises:
        UsageError: A value is unknown, no JSON, or options exclude each other.
    """
    from llamactl.cli.run.request import read_text
    from llamactl.errors import UsageError
    from llamactl.run.request import Chat

    template = options.chat_template
    if options.chat_template_file is not None:
        if template is not None:
            raise UsageError(
                "--chat-template and --chat-template-file exclude each other", "Give one of them."
            )
        template = read_text(options.chat_template_file, "--chat-template-file")
    if options.reasoning not in THINKING:
        raise UsageError(f"--reasoning {options.reasoning!r} is unknown", "Use on, off or auto.")
    if options.reasoning_budget < -1:
        raise UsageError(
            f"--reasoning-budget {options.reasoning_budget} is out of range",
            "Use 0 or more, or -1 for as many as it likes.",
        )
    arguments = _arguments(options.chat_template_kwargs)
    if options.reasoning_effort != "default":
        arguments["reasoning_effort"] = options.reasoning_effort
    return Chat(
        template=template or None,
        arguments=arguments,
        thinking=THINKING[options.reasoning],
        budget=options.reasoning_budget,
        budget_message=options.reasoning_budget_message,
    )


def _arguments(text: str | None) -> dict[str, Any]:
    from llamactl.errors import UsageError

    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"--chat-template-kwargs isn't JSON: {error}", """Write such as '{"enable_thinking": false}'."""
        ) from None
    if not isinstance(found, dict):
        raise UsageError(
            "--chat-template-kwargs isn't a JSON object", """Write such as '{"enable_thinking": false}'."""
        )
    return found
