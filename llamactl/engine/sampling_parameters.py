"""How to choose the next token, as plain values: llama.cpp's names, and llama.cpp's defaults by leaving them out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from llamactl.engine.common import parts, span
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError

INT_MAX = 2**31 - 1
RANDOM_SEED = int(lib.LLAMA_DEFAULT_SEED)
"""The engine takes this number for "a random one"."""
RANGES = {
    "mirostat": (0, 2),
    "repeat_last_n": (0, INT_MAX),
    "dry_penalty_last_n": (0, INT_MAX),
    "dry_allowed_length": (0, INT_MAX),
    "dry_base": (1, math.inf),
    "top_k": (-INT_MAX, INT_MAX),
}


@dataclass(frozen=True, slots=True)
class ReasoningBudget:
    """How long a model may think before its answer: llama.cpp's ``common_reasoning_budget_init``.

    Attributes:
        tokens: Most tokens of a thought; 0 ends it at once.
        start: The text that begins a thought, such as ``<think>``.
        ends: The texts that end one; the first is put in when the budget is spent.
        message: Put in before that.
        generation_prompt: What the template wrote of the answer already: the thought may begin there.
    """

    tokens: int
    start: str
    ends: tuple[str, ...]
    message: str = ""
    generation_prompt: str = ""


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How to choose the next token; llama.cpp's names (``common_params_sampling`` in its ``common.h``).

    What is ``None`` is as the model's file recommends (``general.sampling.*``), else llama.cpp's default; see
    :data:`DEFAULTS`.

    Attributes:
        seed: Seed of the random numbers, 0 to 4294967294; ``None`` for a random one.
        temperature: 0 or less takes the likeliest token.
        dynatemp_range: Spread of the dynamic temperature, 0 for none.
        dynatemp_exponent: How entropy maps to temperature.
        top_k: Keep the k likeliest; 0 or less keeps all.
        top_p: Keep the likeliest up to this share; 1 keeps all.
        min_p: Keep what has at least this share of the likeliest; 0 keeps all.
        typical_p: Locally typical sampling; 1 is off.
        top_n_sigma: Keep logits within n sigma of the best; negative is off.
        xtc_probability: Chance to cut the top choices; 0 is off.
        xtc_threshold: Least probability of what can be cut.
        adaptive_target: Choose tokens near this probability, with ``adaptive_p`` among the samplers; negative
            is off.
        adaptive_decay: How slowly that adapts, 0 to 0.99.
        repeat_last_n: How many tokens the penalties look at, those of the prompt too; 0 is off.
        repeat_penalty: 1 is off.
        presence_penalty: 0 is off.
        frequency_penalty: 0 is off.
        dry_multiplier: DRY repetition penalty; 0 is off.
        dry_base: Base of that penalty.
        dry_allowed_length: Repetitions up to this length are free.
        dry_penalty_last_n: How many tokens DRY looks at; 0 is off.
        dry_breakers: Texts that end a repetition for DRY.
        mirostat: 0, 1 or 2.
        mirostat_tau: Target entropy (``--mirostat-ent``).
        mirostat_eta: Learning rate (``--mirostat-lr``).
        samplers: What thins the candidates out, in order: names of :func:`sampler_names`.
        logit_bias: Pairs of token and what is added to its logit.
        ignore_eos: Never choose a token that ends the text.
        grammar: GBNF text that the output must follow; empty for none. See
            :func:`llamactl.engine.schema_to_grammar`.
        reasoning: How long it may think; ``None`` for as long as it likes.
    """

    seed: int | None = None
    temperature: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_breakers: tuple[str, ...] | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    samplers: tuple[str, ...] | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    ignore_eos: bool = False
    grammar: str = ""
    reasoning: ReasoningBudget | None = None

    def native(self, model: Any, vocabulary: Any) -> Any:
        """Return the C struct for a model: ``struct llamactl_sampling *``, freed by itself.

        Args:
            model: ``struct llama_model *``.
            vocabulary: ``struct llama_vocab *``.

        Raises:
            UsageError: A value is out of range, or a sampler unknown.
        """
        self.check()
        sampling = ffi.gc(lib.llamactl_sampling_new(), lib.llamactl_sampling_free)
        for name in DEFAULTS:
            if (value := getattr(self, name)) is not None:
                lib.llamactl_sampling_set(sampling, name.encode(), value)
        if self.seed is not None:
            lib.llamactl_sampling_set_seed(sampling, self.seed)
        self._set_texts(sampling)
        if self.logit_bias:
            biases = [{"token": token, "bias": bias} for token, bias in self.logit_bias]
            parts(lib.llamactl_sampling_bias(sampling, ffi.new("llama_logit_bias[]", biases), len(biases)), 0)
        if self.reasoning is not None:
            _set_reasoning(sampling, vocabulary, self.reasoning)
        parts(lib.llamactl_sampling_of_model(sampling, model, self.ignore_eos), 0)
        return sampling

    def check(self) -> None:
        """Raise :class:`UsageError` if a value is out of range."""
        if self.seed is not None and not 0 <= self.seed < RANDOM_SEED:
            # The engine draws a random seed for this one.
            reason = "stands for a random one" if self.seed == RANDOM_SEED else "is out of range"
            raise UsageError(
                f"seed {self.seed} {reason}", f"Use 0 to {RANDOM_SEED - 1}, or none for a random one."
            )
        for name in DEFAULTS:
            value = getattr(self, name)
            least, most = RANGES.get(name, (-math.inf, math.inf))
            if value is not None and not least <= value <= most:
                to = f"{least} or more" if most in {INT_MAX, math.inf} else f"{least} to {most}"
                raise UsageError(f"{name} {value} is out of range", f"Use {to}.")

        if self.repeat_penalty is not None and self.repeat_penalty <= 0:
            raise UsageError(
                f"repeat_penalty {self.repeat_penalty} is out of range", "Use more than 0; 1 is off."
            )

    def _set_texts(self, sampling: Any) -> None:
        keep: list[Any] = []
        if self.samplers is not None:
            order = _one(";".join(self.samplers), keep)
            try:
                parts(lib.llamactl_sampling_order(sampling, order), 0)
            except LlamactlError as error:
                raise UsageError(
                    f"sampler {error.message!r} is unknown", f"Choose from: {', '.join(sampler_names())}."
                ) from None
        if self.dry_breakers is not None:
            breakers = ffi.new(
                "struct llamactl_span[]", [span(_bytes(one), keep) for one in self.dry_breakers]
            )
            parts(lib.llamactl_sampling_breakers(sampling, breakers, len(self.dry_breakers)), 0)
        if self.grammar:
            parts(lib.llamactl_sampling_grammar(sampling, _one(self.grammar, keep)), 0)


def numbers(sampling: Any) -> dict[str, float]:
    """Return the numbers of a ``struct llamactl_sampling`` by the names of :class:`SamplingParameters`."""
    found = {}
    for field in fields(SamplingParameters):
        value = float(lib.llamactl_sampling_get(sampling, field.name.encode()))
        if not math.isnan(value):
            found[field.name] = int(value) if str(field.type).startswith("int") else _shortest(value)
    return found


def _shortest(value: float) -> float:
    """Return the shortest decimal that is the same C ``float``: 0.8, not 0.800000011920929."""
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if float(ffi.new("float *", short)[0]) == value:
            return short
    return value


DEFAULTS = numbers(ffi.gc(lib.llamactl_sampling_new(), lib.llamactl_sampling_free))
"""llama.cpp's defaults (``common_params_sampling``) by the names of :class:`SamplingParameters`."""


@cache
def sampler_names() -> dict[str, str]:
    """Return the samplers that an order can be made of, and llama.cpp's letter for each."""
    names, letters = (part.decode() for part in parts(lib.llamactl_sampler_names(), 2))
    return dict(zip(names.split(";"), letters, strict=True))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _one(text: str, keep: list[Any]) -> Any:
    return ffi.new("struct llamactl_span *", span(_bytes(text), keep))[0]


def _set_reasoning(sampling: Any, vocabulary: Any, budget: ReasoningBudget) -> None:
    keep: list[Any] = []
    ends = ffi.new("struct llamactl_span[]", [span(_bytes(end), keep) for end in budget.ends])
    native = ffi.new(
        "struct llamactl_budget *",
        {
            "tokens": budget.tokens,
            "start": span(_bytes(budget.start), keep),
            "ends": ends,
            "n_ends": len(budget.ends),
            "message": span(_bytes(budget.message), keep),
            "generation_prompt": span(_bytes(budget.generation_prompt), keep),
        },
    )
    parts(lib.llamactl_sampling_budget(sampling, vocabulary, native), 0)
