"""The work of ``ttft`` and ``embed``: what a program asks for as a whole."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter_ns

from llamactl.bench.bodies.body import Work, context_parameters, random_tokens, test_context
from llamactl.bench.plan import BenchTest, Setup
from llamactl.engine import Batch, Context, ContextParameters, Model, Sampler, SamplingParameters, generate
from llamactl.run import prompt
from llamactl.run.request import Request
from llamactl.run.template import Renderer

WORD = " time"


class FirstToken:
    """``ttft``: a whole request through template, tokenizer and sampler, up to the first token's text."""

    def __init__(self, model: Model, setup: Setup, test: BenchTest) -> None:
        self._model = model
        self._renderer = None if model.chat_template is None else Renderer()
        self._request = _request_of(model, test.n_prompt, self._renderer)
        parameters = context_parameters(setup, test.n_prompt + 64)
        self.context = test_context(model, parameters, test, test.n_prompt)
        self._sampler = Sampler(model, SamplingParameters(temperature=0.0, ignore_eos=True))

    def warm_up(self) -> int:
        """See :class:`Body`."""
        return self.run().tokens

    def reset(self) -> None:
        """See :class:`Body`."""
        self.context.kv.clear(data=False)
        self._sampler.reset()

    def run(self) -> Work:
        """See :class:`Body`."""
        given = perf_counter_ns()
        made = prompt.chat_prompt(self._model, self._request, self._renderer)
        rendered = perf_counter_ns()
        tokens = self._model.vocabulary.tokenize(made.text)
        tokenized = perf_counter_ns()
        done = generate(self.context, self._sampler, tokens, n_predict=1)
        prefill_ns = done.prefill_ns or 0
        rest = perf_counter_ns() - tokenized - prefill_ns
        steps = {"template": rendered - given, "tokenize": tokenized - rendered}
        return Work(1, None, {**steps, "prefill": prefill_ns, "sample": rest})


def _request_of(model: Model, n_tokens: int, renderer: Renderer | None) -> Request:
    """Return a request of about this many tokens, at least one word."""
    raw, words = renderer is None, max(n_tokens, 1)
    for _ in range(3):
        request = Request(model=Path(model.path), prompt=WORD * words, raw=raw)
        made = prompt.chat_prompt(model, request, renderer)
        surplus = len(model.vocabulary.tokenize(made.text)) - n_tokens
        words = max(words - surplus, 1)
    return Request(model=Path(model.path), prompt=WORD * words, raw=raw)


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
        compute = self.context.encode if self.context.model.has_encoder else self.context.decode
        compute(self._batch)
        self.context.sequence_embedding(0)[0]
        return Work(len(self._tokens))
