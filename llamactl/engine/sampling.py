"""From logits to a token: llama.cpp's own sampler (``common_sampler``), as its programs make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from llamactl.engine.context import Context
from llamactl.engine.handle import Handle
from llamactl.engine.log import captured, last_error
from llamactl.engine.model import Model
from llamactl.engine.native import ffi, lib, text
from llamactl.engine.sampling_parameters import SamplingParameters, numbers
from llamactl.errors import LlamactlError, UsageError

GREEDY = SamplingParameters(temperature=0.0)
"""Always the likeliest token."""
OFF = "?"
"""What the name of a link begins with that does nothing."""


class Sampler:
    """A sampler. Use it as a context manager, close it, or let it go.

    Args:
        model: Its vocabulary is what is chosen from; what its file says of sampling holds where the parameters
            are ``None``.
        parameters: How to choose.

    Attributes:
        in_force: The numbers by name, after the file was asked.

    Raises:
        UsageError: The grammar can't be parsed, or a parameter is out of range.
    """

    def __init__(self, model: Model, parameters: SamplingParameters | None = None) -> None:
        self.parameters = parameters or SamplingParameters()
        self._vocabulary = model.vocabulary
        sampling = self.parameters.native(model.pointer, self._vocabulary.pointer)
        self.in_force = numbers(sampling)
        made = _made(model, sampling, self.parameters)
        self._handle = Handle(self, "sampler", made, lib.llamactl_sampler_free, (model,))
        model.add_dependent(self)

    @property
    def names(self) -> tuple[str, ...]:
        """What takes part in choosing, in order: thinking's end, the grammar, then the links of the chain.

        Links that do nothing with these parameters are left out. The grammar comes first, but is asked only
        whether the choice fits, and applied to all candidates where it doesn't.
        """
        chain = lib.llamactl_sampler_chain(self._handle.pointer)
        links = [
            text(lib.llama_sampler_name(lib.llama_sampler_chain_get(chain, i)))
            for i in range(lib.llama_sampler_chain_n(chain))
        ]
        before = [
            *(["reasoning-budget"] if self.parameters.reasoning is not None else []),
            *(["grammar"] if self.parameters.grammar else []),
        ]
        return (*before, *(name for name in links if not name.startswith(OFF)))

    @property
    def seed(self) -> int | None:
        """The seed in force; ``None`` where nothing is random."""
        if not self._is_random():
            return None
        return int(lib.llama_sampler_get_seed(lib.llamactl_sampler_chain(self._handle.pointer)))

    def _is_random(self) -> bool:
        """With a temperature of 0 one candidate is left, unless XTC may have cut the likeliest."""
        names = self.names
        return bool(self.in_force["temperature"] > 0 or "xtc" in names or "temp-ext" not in names)

    def sample(self, context: Context, index: int = -1) -> int:
        """Choose a token from an output of the last decode, and take note of it.

        Raises:
            LlamactlError: That token gave no output.
        """
        pointer = context._handle.pointer
        # The engine aborts the process when there is nothing to choose from.
        if lib.llama_get_logits_ith(pointer, index) == ffi.NULL:
            raise LlamactlError(f"no logits for output {index}", "Decode first, and ask for output there.")
        return checked(int(lib.llamactl_sampler_sample(self._handle.pointer, pointer, index)))

    def chooser(self, context: Context) -> tuple[Callable[[], None], Any]:
        """Return a function that chooses from the last output, and the struct it writes, for hot loops.

        The struct is ``struct llamactl_choice``: token, its bytes, whether it ends generation, times.
        """
        choice = ffi.new("struct llamactl_choice *")
        vocabulary = context.model.vocabulary.pointer
        return partial(lib.llamactl_choose, self._handle.pointer, context.pointer, vocabulary, choice), choice

    def accept(self, *tokens: int) -> None:
        """Take note of tokens that were not chosen here, such as those of the prompt: penalties see them.

        A grammar is about what is chosen here and doesn't take note of them.

        Raises:
            LlamactlError: A token isn't in the vocabulary.
        """
        self._vocabulary.check(*tokens)
        self.accept_checked(tokens)

    def accept_checked(self, tokens: Sequence[int]) -> None:
        """Do :meth:`accept` with tokens that are known to be in the vocabulary."""
        if not lib.llamactl_sampler_accept(self._handle.pointer, list(tokens), len(tokens)):
            raise LlamactlError("the engine can't take note of the tokens", "Report it.")

    def reset(self) -> None:
        """Forget the tokens noted."""
        lib.llamactl_sampler_reset(self._handle.pointer)

    def close(self) -> None:
        """Free it; a second time does nothing."""
        self._handle.close()

    def __enter__(self) -> Sampler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def checked(token: int) -> int:
    """Return a token that was chosen.

    Raises:
        LlamactlError: The engine failed to choose: the grammar leaves nothing.
    """
    if token == lib.LLAMA_TOKEN_NULL:
        raise LlamactlError(
            "the engine found no token that the grammar lets pass",
            "Check the grammar: it may be contradictory.",
        )
    return token


def _made(model: Model, sampling: Any, parameters: SamplingParameters) -> Any:
    said = ffi.new("char[]", 1024)
    with captured() as lines:
        made = lib.llamactl_sampler_new(model.pointer, sampling, said, len(said))
    if made != ffi.NULL:
        return made
    printed = text(said).strip()
    if not parameters.grammar:
        raise UsageError(f"no sampler can be made: {printed}", "Check the sampling options.")
    # "parse: error parsing grammar: REASON", an empty line, and the whole grammar.
    reason = printed.partition("\n")[0].rpartition("grammar: ")[2] or last_error(lines)
    if reason.endswith(" at "):  # what was left of the grammar follows, here nothing
        reason += "its end"
    raise UsageError(
        f"the grammar can't be parsed{reason and ': '}{reason}", "Check it: GBNF, with a rule named root."
    )
