"""What a person asks of one run: plain values, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llamactl.engine import ContextParameters, ModelParameters, SamplingParameters
from llamactl.run.extras import Extras


@dataclass(frozen=True, slots=True)
class Chat:
    """How a conversation becomes a prompt, and how long the model may think.

    Attributes:
        template: Jinja in place of the file's own; ``None`` for that.
        arguments: Variables for the template.
        thinking: What it reads as ``enable_thinking``; ``None`` for llama.cpp's default, which is true.
        budget: Most tokens of a thought, 0 ends it at once; negative for as many as it likes.
        budget_message: Put in before a thought is ended.
    """

    template: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    thinking: bool | None = None
    budget: int = -1
    budget_message: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One generation.

    Attributes:
        model: The GGUF file.
        prompt: What to continue or to answer.
        system: The system message of a chat; empty for none.
        raw: Continue the prompt as it is, without a chat template.
        chat: Template and thinking, where it isn't raw.
        model_parameters: How to load.
        context_parameters: Sizes, threads, types.
        sampling: How to choose tokens.
        n_predict: Most tokens to generate; negative for as many as fit.
        stops: Strings that end the text.
        expectations: Pairs of setting and value that must be in force.
        extras: Adapters, control vectors, places of threads, fitting.
    """

    model: Path
    prompt: str
    system: str = ""
    raw: bool = False
    chat: Chat = field(default_factory=Chat)
    model_parameters: ModelParameters = field(default_factory=ModelParameters)
    context_parameters: ContextParameters = field(default_factory=ContextParameters)
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
    n_predict: int = -1
    stops: tuple[str, ...] = ()
    expectations: tuple[tuple[str, str], ...] = ()
    extras: Extras = field(default_factory=Extras)
