"""From logits to a token: llama.cpp's sampler chain, built as llama.cpp's own programs build it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from llamactl.engine.context import Context
from llamactl.engine.handle import Handle
from llamactl.engine.log import captured, last_error
from llamactl.engine.model import Model
from llamactl.engine.native import ffi, lib, text
from llamactl.errors import LlamactlError, UsageError

MIROSTAT_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How to choose the next token; llama.cpp's names and defaults (``common_params_sampling``).

    Attributes:
        seed: Seed of the random numbers; ``None`` for a random one.
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
        repeat_last_n: How many tokens the penalties look at.
        repeat_penalty: 1 is off.
        presence_penalty: 0 is off.
        frequency_penalty: 0 is off.
        dry_multiplier: DRY repetition penalty; 0 is off.
        dry_base: Base of that penalty.
        dry_allowed_length: Repetitions up to this length are free.
        dry_penalty_last_n: How many tokens DRY looks at.
        mirostat: 0, 1 or 2.
        mirostat_tau: Target entropy (``--mirostat-ent``).
        mirostat_eta: Learning rate (``--mirostat-lr``).
        logit_bias: Pairs of token and what is added to its logit.
        grammar: GBNF text that the output must follow; empty for none.
    """

    seed: int | None = None
    temperature: float = 0.8
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: tuple[tuple[int, float], ...] = ()
    grammar: str = ""


GREEDY = SamplingParameters(temperature=0.0)
"""Always the likeliest token."""


class Sampler:
    """A sampler chain. Use it as a context manager, close it, or let it go.

    Args:
        model: Its vocabulary is what is chosen from.
        parameters: How to choose.

    Raises:
        UsageError: The grammar can't be parsed, or a parameter is out of range.
    """

    def __init__(self, model: Model, parameters: SamplingParameters | None = None) -> None:
        self.parameters = parameters or SamplingParameters()
        if self.parameters.seed is not None and not 0 <= self.parameters.seed < 2**32:
            raise UsageError(f"seed {self.parameters.seed} is out of range", "Use 0 to 4294967295.")
        self._vocabulary = model.vocabulary
        self._vocabulary.check()
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        self._handle = Handle(self, "sampler", chain, lib.llama_sampler_free, (model,))
        for link in _links(model, self.parameters):
            lib.llama_sampler_chain_add(chain, link)
        model.add_dependent(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The links of the chain, in order."""
        chain = self._handle.pointer
        return tuple(
            text(lib.llama_sampler_name(lib.llama_sampler_chain_get(chain, i)))
            for i in range(lib.llama_sampler_chain_n(chain))
        )

    @property
    def seed(self) -> int | None:
        """The seed in force; ``None`` where nothing is random."""
        seed = int(lib.llama_sampler_get_seed(self._handle.pointer))
        return None if seed == lib.LLAMA_DEFAULT_SEED else seed

    def sample(self, context: Context, index: int = -1) -> int:
        """Choose a token from an output of the last decode, and take note of it.

        Raises:
            LlamactlError: That token gave no output.
        """
        pointer = context._handle.pointer
        # The engine aborts the process when there is nothing to choose from.
        if lib.llama_get_logits_ith(pointer, index) == ffi.NULL:
            raise LlamactlError(f"no logits for output {index}", "Decode first, and ask for output there.")
        return int(lib.llama_sampler_sample(self._handle.pointer, pointer, index))

    def chooser(self, context: Context) -> tuple[Callable[[], None], Any]:
        """Return a function that chooses from the last output, and the struct it writes, for hot loops.

        The struct is ``struct llamactl_choice``: token, its bytes, whether it ends generation, times.
        """
        choice = ffi.new("struct llamactl_choice *")
        vocabulary = context.model.vocabulary.pointer
        return partial(lib.llamactl_choose, self._handle.pointer, context.pointer, vocabulary, choice), choice

    def accept(self, token: int) -> None:
        """Take note of a token that was not chosen here, such as one of the prompt.

        A grammar is about what is chosen here and doesn't take note of it.

        Raises:
            LlamactlError: The token isn't in the vocabulary.
        """
        self._vocabulary.check(token)
        chain = self._handle.pointer
        for link in (lib.llama_sampler_chain_get(chain, i) for i in range(lib.llama_sampler_chain_n(chain))):
            if text(lib.llama_sampler_name(link)) != "grammar":
                lib.llama_sampler_accept(link, token)

    def reset(self) -> None:
        """Forget the tokens noted."""
        lib.llama_sampler_reset(self._handle.pointer)

    def close(self) -> None:
        """Free it; a second time does nothing."""
        self._handle.close()

    def __enter__(self) -> Sampler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _links(model: Model, p: SamplingParameters) -> list[Any]:
    """Return the links in the order of ``common_sampler_init``; a grammar goes before all."""
    vocabulary = model.vocabulary
    links = []
    if p.grammar:
        links.append(_grammar(vocabulary.pointer, p.grammar))
    if p.logit_bias:
        biases = ffi.new(
            "llama_logit_bias[]", [{"token": token, "bias": bias} for token, bias in p.logit_bias]
        )
        links.append(lib.llama_sampler_init_logit_bias(vocabulary.size, len(biases), biases))
    seed = lib.LLAMA_DEFAULT_SEED if p.seed is None else p.seed
    if p.mirostat == 1:
        size = vocabulary.size
        chosen = lib.llama_sampler_init_mirostat(
            size, seed, p.mirostat_tau, p.mirostat_eta, MIROSTAT_CANDIDATES
        )
        return [*links, lib.llama_sampler_init_temp(p.temperature), chosen]
    if p.mirostat == 2:
        chosen = lib.llama_sampler_init_mirostat_v2(seed, p.mirostat_tau, p.mirostat_eta)
        return [*links, lib.llama_sampler_init_temp(p.temperature), chosen]
    links += _penalties(vocabulary, p)
    if p.temperature <= 0:
        return [*links, lib.llama_sampler_init_greedy()]
    return [*links, *_truncations(p, seed), lib.llama_sampler_init_dist(seed)]


def _penalties(vocabulary: Any, p: SamplingParameters) -> list[Any]:
    links = []
    if p.repeat_last_n and (p.repeat_penalty, p.frequency_penalty, p.presence_penalty) != (1.0, 0.0, 0.0):
        links.append(
            lib.llama_sampler_init_penalties(
                vocabulary.size, p.repeat_last_n, p.repeat_penalty, p.frequency_penalty, p.presence_penalty
            )
        )
    if p.dry_multiplier:
        breakers = [ffi.new("char[]", one) for one in (b"\n", b":", b'"', b"*")]
        links.append(
            lib.llama_sampler_init_dry(
                vocabulary.pointer, p.dry_multiplier, p.dry_base, p.dry_allowed_length, p.dry_penalty_last_n,
                breakers, len(breakers),
            )
        )  # fmt: skip
    return links


def _truncations(p: SamplingParameters, seed: int) -> list[Any]:
    """Return the links that thin the candidates out; those that would do nothing are left out."""
    links = []
    if p.top_n_sigma > 0:
        links.append(lib.llama_sampler_init_top_n_sigma(p.top_n_sigma))
    if p.top_k > 0:
        links.append(lib.llama_sampler_init_top_k(p.top_k))
    if p.typical_p < 1:
        links.append(lib.llama_sampler_init_typical(p.typical_p, 0))
    if p.top_p < 1:
        links.append(lib.llama_sampler_init_top_p(p.top_p, 0))
    if p.min_p > 0:
        links.append(lib.llama_sampler_init_min_p(p.min_p, 0))
    if p.xtc_probability > 0:
        links.append(lib.llama_sampler_init_xtc(p.xtc_probability, p.xtc_threshold, 0, seed))
    links.append(lib.llama_sampler_init_temp_ext(p.temperature, p.dynatemp_range, p.dynatemp_exponent))
    return links


def _grammar(vocabulary: Any, grammar: str) -> Any:
    said = ffi.new("char[]", 1024)
    with captured() as lines:
        link = lib.llamactl_grammar(vocabulary, grammar.encode(), b"root", said, len(said))
    if link == ffi.NULL:
        # "parse: error parsing grammar: REASON", an empty line, and the whole grammar.
        printed = text(said).strip().partition("\n")[0].rpartition("grammar: ")[2]
        reason = printed or last_error(lines)
        if reason.endswith(" at "):  # what was left of the grammar follows, here nothing
            reason += "its end"
        raise UsageError(
            f"the grammar can't be parsed{reason and ': '}{reason}", "Check it: GBNF, with a rule named root."
        )
    return link
