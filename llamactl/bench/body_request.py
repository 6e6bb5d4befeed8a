"""The work of ``ttft`` and ``embed``: what a program asks for as a whole."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter_ns

from llamactl.bench.body import Work, context_parameters, random_tokens
from llamactl.bench.plan import BenchTest, Setup
from llamactl.engine import GREEDY, Batch, Context, ContextParameters, Model, Sampler, generate
from llamactl.run import prompt
from llamactl.run.request import Request

WORD = " time"


class FirstToken:
    """``ttft``: a whole request through template, tokenizer and sampler, up to the first token's text."""

    def __init__(self, model: Model, setup: Setup, test: BenchTest) -> None:
        self._model, self._raw = model, model.chat_template is None
        self._text = _text_of(model, test.n_prompt, self._raw)
        self.context = Context(model, context_parameters(setup, test.n_prompt + 64))
        self.context.abort_on_interrupt()
        self._sampler = Sampler(model, GREEDY)
        self._path = setup.model_filename

    def warm_up(self) -> int:
        """See :class:`Body`."""
        return self.run().tokens

    def reset(self) -> None:
        """See :class:`Body`."""
        self.context.kv.clear(data=False)
        self._sampler.reset()

    def run(self) -> Work:
        """See :class:`Body`."""
        tokens = _request_tokens(self._model, self._text, self._raw)
        stamps: dict[str, int] = {}
        begin = perf_counter_ns()
        done = generate(self.context, self._sampler, tokens, n_predict=1, ignore_end=True)
        stamps["prefill"] = done.prefill_ns
        stamps["sample"] = perf_counter_ns() - begin - done.prefill_ns
        return Work(1, None, stamps)


def _request_tokens(model: Model, text: str, raw: bool) -> list[int]:
    request = Request(model=Path(model.path), prompt=text, raw=raw)
    return prompt.tokenize(model, prompt.prompt_text(model, request), raw)


def _text_of(model: Model, n_tokens: int, raw: bool) -> str:
    """Return a text that makes a request of about this many tokens, at least one word."""
    words = max(n_tokens, 1)
    for _ in range(3):
        surplus = len(_request_tokens(model, WORD * words, raw)) - n_tokens
        words = max(words - surplus, 1)
    return WORD * words


class Embed:
    """``embed``: one text's pooled embedding."""

    def __init__(self, model: Model, setup: Setup, test: BenchTest) -> None:
        n = test.n_prompt
        base = context_parameters(setup, n)
        self.context = Context(
            model,
            ContextParameters(
                n_ctx=n, n_batch=max(n, base.n_batch), n_ubatch=max(n, base.n_ubatch), n_threads=base.n_threads,
                n_threads_batch=base.n_threads_batch, flash_attention=base.flash_attention, pooling="mean",
                embeddings=True,
            ),
        )  # fmt: skip
        self.context.abort_on_interrupt()
        self._tokens = random_tokens(model, n)
        self._batch = Batch(n)

    def warm_up(self) -> int:
        """See :class:`Body`."""
        return self.run().tokens

    def reset(self) -> None:
        """See :class:`Body`."""
        self.context.kv.clear(data=False)

    def run(self) -> Work:
        """See :class:`Body`."""
        self._batch.clear()
        self._batch.add_sequence(self._tokens, output="all")
        self.context.decode(self._batch)
        self.context.sequence_embedding(0)[0]
        return Work(len(self._tokens))
