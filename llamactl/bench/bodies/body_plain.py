"""The work of ``pp``, ``tg`` and ``pg``, as llama-bench does it: random tokens, one sequence."""

from __future__ import annotations

from time import perf_counter_ns

from llamactl.bench.bodies.body import Work, context_parameters, random_tokens, test_context
from llamactl.bench.plan import BenchTest, Setup
from llamactl.engine import Batch, Model
from llamactl.errors import UsageError


class Plain:
    """``pp``, ``tg``, ``pg``, each at a depth."""

    def __init__(self, model: Model, setup: Setup, test: BenchTest) -> None:
        self._test = test
        parameters = context_parameters(setup, test.n_prompt + test.n_gen + test.n_depth)
        self.context = test_context(model, parameters, test, max(test.n_prompt, test.n_depth))
        self._source: Batch | None = _source(model, test)
        # Every use of the tokens begins with BOS, as llama-bench's do.
        self._tokens = random_tokens(model, max(test.n_prompt, test.n_gen, test.n_depth))
        self._at_depth = False

    def warm_up(self) -> int:
        """See :class:`Body`."""
        test = self._test
        if test.n_prompt:
            self._prompt(test.n_prompt)
        if test.n_gen:
            if self._source is not None and not test.n_prompt:
                self._encode(1)
            self._generate(1)
        self._at_depth = False
        return test.n_prompt + min(test.n_gen, 1)

    def reset(self) -> None:
        """See :class:`Body`."""
        depth, kv = self._test.n_depth, self.context.kv
        # Taking the cache back to the depth saves computing it again; not every model can.
        if self._at_depth and depth and kv.remove(0, depth):
            return
        kv.clear(data=False)
        if self._source is not None and self._test.n_gen:
            self._encode(1)  # A decoder with an encoder has nothing to look at before.
        if depth:
            self._prompt(depth)
            self._at_depth = True

    def run(self) -> Work:
        """See :class:`Body`."""
        test = self._test
        begin = perf_counter_ns()
        engine_ns = self._prompt(test.n_prompt) if test.n_prompt else 0
        engine_ns += self._generate(test.n_gen) if test.n_gen else 0
        return Work(test.n_prompt + test.n_gen, perf_counter_ns() - begin - engine_ns)

    def _prompt(self, count: int) -> int:
        """Compute a prompt and return the time inside of the engine's calls."""
        if self._source is not None:
            return self._encode(count)
        return self._decode(count)

    def _encode(self, count: int) -> int:
        """Do the same with an encoder: all of it at once."""
        assert self._source is not None
        self._source.clear()
        self._source.add_sequence(self._tokens[:count], output="all")
        before = perf_counter_ns()
        self.context.encode(self._source)
        self.context.synchronize()
        return perf_counter_ns() - before

    def _decode(self, count: int) -> int:
        n_batch, now, engine_ns = self.context.n_batch, perf_counter_ns, 0
        for start in range(0, count, n_batch):
            tokens = self._tokens[start : min(start + n_batch, count)]
            before = now()
            self.context.decode_tokens(tokens)
            engine_ns += now() - before
        before = now()
        self.context.synchronize()
        return engine_ns + now() - before

    def _generate(self, count: int) -> int:
        step, now, engine_ns = self.context.stepper(), perf_counter_ns, 0
        for token in self._tokens[:count]:
            before = now()
            step(token)
            engine_ns += now() - before
        return engine_ns


def _source(model: Model, test: BenchTest) -> Batch | None:
    """Return where an encoder's tokens go; ``None`` for models without one."""
    if not model.has_encoder:
        return None
    if test.n_depth:
        raise UsageError(f"{test.name}: a model with an encoder has no depth", "Leave -d out.")
    if test.n_gen and not model.has_decoder:
        raise UsageError(f"{test.name}: this model is an encoder and makes no text", "Leave -n at 0: -n 0.")
    return Batch(max(test.n_prompt, 1))
