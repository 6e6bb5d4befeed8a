"""The model's own chat template, rendered in a sandbox: it comes from a file that anyone may have made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from llamactl.errors import UsageError

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

Message = Mapping[str, str]
"""One message: ``{"role": "user", "content": "…"}``."""

MAX_PROMPT_CHARACTERS = 16 * 2**20
MAX_POWER_BITS = 4096


def _refuse(message: str) -> NoReturn:
    raise UsageError(
        f"the chat template refuses this conversation: {message}", "Use --raw for plain completion."
    )


def _json(value: Any, indent: int | None = None) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > MAX_POWER_BITS:
        raise ValueError(f"it computes a power of more than {MAX_POWER_BITS} bits")
    return base**exponent


def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    # One multiplication of huge numbers can take hours, and nothing can interrupt it.
    environment.intercepted_binops = frozenset(["**"])
    environment.binop_table = {**environment.binop_table, "**": _power}
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    environment.filters["tojson"] = _json
    return environment


def render(template: str, messages: Sequence[Message], **variables: Any) -> str:
    """Render a Jinja chat template as Hugging Face's ``apply_chat_template`` does.

    Args:
        template: The template's text.
        messages: The conversation.
        variables: What the template may read besides, such as ``bos_token``.

    Returns:
        The prompt, ending where the assistant's answer begins.

    Raises:
        UsageError: The template is broken, refuses the messages, or tries what the sandbox forbids.
        MemoryError: It wants more than there is. Nothing here bounds its time: see
            :mod:`llamactl.run.limited_child`.
    """
    try:
        pieces = (
            _environment()
            .from_string(template)
            .generate(messages=messages, add_generation_prompt=True, **variables)
        )
        return _bounded(pieces)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # a template is a program from a file: it can raise anything
        raise UsageError(
            f"the model's chat template can't be rendered ({error})", "Use --raw for plain completion."
        ) from error


def _bounded(pieces: Any) -> str:
    parts, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_PROMPT_CHARACTERS:
            raise ValueError(f"it makes more than {MAX_PROMPT_CHARACTERS} characters")
        parts.append(piece)
    return "".join(parts)
