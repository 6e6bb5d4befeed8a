"""What a person asks of one run: plain values, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from llamactl.engine import ContextParameters, ModelParameters, SamplingParameters
from llamactl.run.extras import Extras


@dataclass(frozen=True, slots=True)
class Request:
    """One generation.

    Attributes:
        model: The GGUF file.
        prompt: What to continue or to answer.
        system: The system message of a chat; empty for none.
        raw: Continue the prompt as it is, without a chat template.
        model_parameters: How to load.
        context_parameters: Sizes, threads, types.
        sampling: How to choose tokens.
        n_predict: Most tokens to generate; negative for as many as fit.
        stops: Strings that end the text.
        ignore_eos: Go on after the model's end token.
        expectations: Pairs of setting and value that must be in force.
        extras: Adapters, control vectors, places of threads, fitting.
    """

    model: Path
    prompt: str
    system: str = ""
    raw: bool = False
    model_parameters: ModelParameters = field(default_factory=ModelParameters)
    context_parameters: ContextParameters = field(default_factory=ContextParameters)
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
    n_predict: int = -1
    stops: tuple[str, ...] = ()
    ignore_eos: bool = False
    expectations: tuple[tuple[str, str], ...] = ()
    extras: Extras = field(default_factory=Extras)
