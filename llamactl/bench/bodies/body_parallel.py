"""The work of parallel sequences in one context."""

from __future__ import annotations

from statistics import median
from time import perf_counter_ns

from llamactl.bench.bodies.body import Work, context_parameters, random_tokens, test_context
from llamactl.bench.plan import BenchTest, Setup
from llamactl.engine import Batch, Model


class Parallel:
    """``tg`` in several sequences side by side: one batch a step, one token of each."""

    def __init__(self, model: Model, setup: Setup, test: BenchTest) -> None:
        self._test = test
        n_ctx = (test.n_gen + test.n_depth) * test.n_seq
        parameters = context_parameters(setup, n_ctx, test.n_seq)
        self.context = test_context(model, parameters, test, test.n_depth)
        self._tokens = random_tokens(model, max(test.n_gen, test.n_depth))
        self._batch = Batch(max(test.n_seq, self.context.n_batch))

    def warm_up(self) -> int:
        """See :class:`Body`."""
        self._step(0, self._test.n_depth)
        return self._test.n_seq

    def reset(self) -> None:
        """See :class:`Body`."""
        self.context.kv.clear(data=False)
        n_batch = self.context.n_batch
        for sequence in range(self._test.n_seq):
            for start in range(0, self._test.n_depth, n_batch):
                self._batch.clear()
                part = self._tokens[start : min(start + n_batch, self._test.n_depth)]
                self._batch.add_sequence(part, start, sequence)
                self.context.decode(self._batch)

    def run(self) -> Work:
        """See :class:`Body`."""
        steps, depth = [], self._test.n_depth
        for index in range(self._test.n_gen):
            begin = perf_counter_ns()
            self._step(index, depth + index)
            steps.append(perf_counter_ns() - begin)
        times = {"step_median": round(median(steps)), "step_max": max(steps)}
        return Work(self._test.n_gen * self._test.n_seq, None, times)

    def _step(self, index: int, position: int) -> None:
        self._batch.clear()
        for sequence in range(self._test.n_seq):
            self._batch.add(self._tokens[index], position, (sequence,), output=True)
        self.context.decode(self._batch)
        self.context.synchronize()
