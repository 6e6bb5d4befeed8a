"""Objects are freed once and in the right order: explicitly, under exceptions, by the collector, at exit."""

from __future__ import annotations

import gc
import itertools
import resource
from pathlib import Path

import pytest
from support import Run

from llamactl.engine import (
    GREEDY,
    Batch,
    Context,
    ContextParameters,
    Model,
    ModelParameters,
    Sampler,
    StaleViewError,
    Vocabulary,
)
from llamactl.errors import LlamactlError, UsageError

SMALL = ContextParameters(n_ctx=256, n_threads=1, n_threads_batch=1)


def test_with_frees_everything_and_a_second_close_does_nothing(model_path: Path) -> None:
    with Model(model_path) as model, Context(model, SMALL) as context, Sampler(model, GREEDY) as sampler:
        assert not model.closed
        assert not context.closed
    assert model.closed
    assert context.closed
    for one in (sampler, context, model):
        one.close()


def test_closing_the_model_closes_its_contexts_and_samplers_first(model_path: Path) -> None:
    model = Model(model_path)
    context, sampler = Context(model, SMALL), Sampler(model, GREEDY)
    vocabulary = model.vocabulary
    model.close()
    assert context.closed
    for use in (
        lambda: context.n_ctx,
        lambda: context.decode_token(1),
        lambda: context.kv.clear(),
        lambda: context.logits(),
        lambda: sampler.names,
        lambda: sampler.reset(),
        lambda: vocabulary.tokenize("a"),
        lambda: vocabulary.piece(1),
        lambda: model.n_layer,
        lambda: Context(model, SMALL),
        lambda: Sampler(model),
    ):
        with pytest.raises(LlamactlError, match="closed"):
            use()


def test_sampling_from_a_closed_context_is_refused(loaded_model: Model) -> None:
    context = Context(loaded_model, SMALL)
    context.decode_token(1)
    context.close()
    with Sampler(loaded_model, GREEDY) as sampler, pytest.raises(LlamactlError, match="context is closed"):
        sampler.sample(context)


def test_an_exception_inside_with_frees_and_passes_on(model_path: Path) -> None:
    kept: list[Model | Context] = []
    with pytest.raises(ZeroDivisionError), Model(model_path) as model, Context(model, SMALL) as context:
        kept += [model, context]
        context.decode_token(1)
        raise ZeroDivisionError
    assert [one.closed for one in kept] == [True, True]


def test_a_model_stays_loaded_as_long_as_a_context_uses_it(model_path: Path) -> None:
    context = Context(Model(model_path), SMALL)
    gc.collect()
    context.decode_token(1)
    assert len(context.logits()) == context.model.vocabulary.size
    context.close()


def test_a_failed_context_leaves_the_model_usable(loaded_model: Model) -> None:
    with pytest.raises(UsageError, match="KV type 'q9'"):
        Context(loaded_model, ContextParameters(n_ctx=256, type_k="q9"))
    with Context(loaded_model, SMALL) as context:
        assert context.n_ctx == 256


def test_no_memory_for_the_context_is_an_error_that_says_what_to_do(loaded_model: Model) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, before[1]))
    try:
        with pytest.raises(LlamactlError, match="can't make a context of 200000 tokens") as caught:
            Context(loaded_model, ContextParameters(n_ctx=200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert "-c" in caught.value.hint


def test_a_missing_file_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(LlamactlError, match="can't load") as caught:
        Model(tmp_path / "none.gguf")
    assert "no reason" not in str(caught.value)


def test_only_the_vocabulary_can_be_loaded(model_path: Path) -> None:
    with Model(model_path, ModelParameters(vocab_only=True)) as model:
        assert model.vocabulary.tokenize("Hello")
        with pytest.raises(UsageError, match="vocabulary only"):
            Context(model, SMALL)


def test_a_model_without_weights_cannot_compute(model_path: Path) -> None:
    with (
        Model(model_path, ModelParameters(no_alloc=True)) as model,
        Context(model, SMALL) as context,
        pytest.raises(UsageError, match="without its weights"),
    ):
        context.decode_tokens([17])


def test_odd_orders_of_the_collector(model_path: Path) -> None:
    """Whatever goes first, the rest works until it goes, and nothing crashes."""
    for order in itertools.permutations(range(4)):
        model = Model(model_path, ModelParameters(vocab_only=False))
        context = Context(model, SMALL)
        context.decode_token(1)
        parts: list[object] = [model, context, Sampler(model, GREEDY), context.logits()]
        cycle: list[object] = [parts[order[0]]]
        cycle.append(cycle)
        del model, context, cycle
        for index in order:
            parts[index] = None
            gc.collect()
        assert parts == [None] * 4


def test_a_view_keeps_its_context_alive(model_path: Path) -> None:
    context = Context(Model(model_path), SMALL)
    context.decode_token(1)
    expected = list(context.logits()[:4])
    view, array = context.logits(), context.logits().numpy()
    del context
    gc.collect()
    assert list(view[:4]) == expected
    assert list(array[:4]) == expected


def test_a_held_buffer_stops_close_and_the_model_can_be_closed_after(model_path: Path) -> None:
    import numpy as np

    model = Model(model_path)
    context = Context(model, SMALL)
    context.decode_token(1)
    held = np.frombuffer(context.logits().memoryview(), dtype=np.float32)
    with pytest.raises(StaleViewError):
        model.close()
    assert not model.closed, "the memory is still in use"
    assert float(held[0]) == held[0]
    del held
    model.close()
    assert context.closed


def test_batches_are_freed_and_full_ones_refuse(loaded_model: Model) -> None:
    batch = Batch(2)
    batch.add_sequence([1, 2])
    with pytest.raises(UsageError, match="full with 2 tokens"):
        batch.add(3, 2)
    batch.clear()
    assert len(batch) == 0


AT_EXIT = """
import sys
from llamactl.engine import *
model = Model(sys.argv[1])
context = Context(model, ContextParameters(n_ctx=256, n_threads=2, n_threads_batch=2))
sampler = Sampler(model)
context.set_abort(lambda: False)
context.decode_tokens(model.vocabulary.tokenize("Hello"))
view, array, buffer = context.logits(), context.logits().numpy(), context.logits().memoryview()
sampler.sample(context)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "code", "shown"),
    [
        ("", 0, ""),
        ("cycle = [model, context, view]; cycle.append(cycle)", 0, ""),
        ("import builtins; builtins.kept = [array, sampler, context]", 0, ""),
        ("import threading; threading.Thread(target=lambda: context.decode_token(1)).start()", 0, ""),
        ("del model, sampler", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("raise ZeroDivisionError", 1, "ZeroDivisionError"),
    ],
)
def test_exit_is_clean_and_silent(python: Run, model_path: Path, ending: str, code: int, shown: str) -> None:
    result = python(AT_EXIT.format(ending=ending), str(model_path))
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == "" if not shown else shown in result.stderr
    assert "Fatal" not in result.stderr


def test_a_vocabulary_refuses_once_the_model_is_gone(model_path: Path) -> None:
    vocabulary: Vocabulary = Model(model_path).vocabulary
    gc.collect()
    with pytest.raises(LlamactlError, match="model is closed"):
        vocabulary.tokenize("a")
