"""Decoding, batches, sequences, the KV cache, states, embeddings: each against decoding afresh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from llamactl.engine import Batch, Context, ContextParameters, DecodeError, Model, state
from llamactl.errors import LlamactlError, UsageError

Make = Callable[..., Context]
Row = npt.NDArray[np.float32]

TEXT = "The quick brown fox jumps over the lazy dog and runs"
NOISE = 0.05
"""What another order of the same sums may change in a logit; logits here span more than 20."""


@pytest.fixture(scope="session")
def tokens(loaded_model: Model) -> list[int]:
    return loaded_model.vocabulary.tokenize(TEXT)


def row(context: Context, index: int = -1) -> Row:
    """Return a copy of a row of logits."""
    return np.array(context.logits(index), dtype=np.float32)


def afresh(make: Make, tokens: list[int], **parameters: object) -> Row:
    """Return the last logits of tokens decoded in a new context."""
    context = make(**parameters)
    context.decode_tokens(tokens)
    return row(context)


def check_same(one: Row, other: Row) -> None:
    """Compare two rows of logits up to rounding."""
    assert one.shape == other.shape
    assert np.abs(one - other).max() < NOISE
    assert one.argmax() == other.argmax()
    assert one.max() - one.min() > 10, "the logits say something"


def test_decoding_twice_gives_the_same(make_context: Make, tokens: list[int]) -> None:
    assert np.array_equal(afresh(make_context, tokens), afresh(make_context, tokens))


def test_one_by_one_equals_all_at_once(make_context: Make, context: Context, tokens: list[int]) -> None:
    for token in tokens:
        context.decode_token(token)
    check_same(row(context), afresh(make_context, tokens))


def test_every_output_of_a_batch_equals_its_prefix(make_context: Make, tokens: list[int]) -> None:
    context, batch = make_context(), Batch(len(tokens))
    batch.add_sequence(tokens, output="all")
    context.decode(batch)
    for end in (1, 4, len(tokens)):
        check_same(row(context, end - 1), afresh(make_context, tokens[:end]))


def test_outputs_only_where_asked(context: Context, tokens: list[int]) -> None:
    batch = Batch(16)
    batch.add_sequence(tokens[:4], output="none")
    wanted = batch.add(tokens[4], 4, output=True)
    context.decode(batch)
    assert len(context.logits(wanted)) == context.model.vocabulary.size
    with pytest.raises(LlamactlError, match="no logits for output 0"):
        context.logits(0)


def test_sequences_do_not_see_each_other(make_context: Make, tokens: list[int]) -> None:
    other = list(reversed(tokens))
    context, batch = make_context(n_seq_max=2), Batch(2 * len(tokens), n_seq_max=2)
    batch.add_sequence(tokens, sequence=0)
    first = len(batch) - 1
    batch.add_sequence(other, sequence=1)
    context.decode(batch)
    check_same(row(context, first), afresh(make_context, tokens))
    check_same(row(context, len(batch) - 1), afresh(make_context, other))


def test_a_token_of_two_sequences(make_context: Make, tokens: list[int]) -> None:
    context, batch = make_context(n_seq_max=2, kv_unified=True), Batch(32, n_seq_max=2)
    for position, token in enumerate(tokens[:5]):
        batch.add(token, position, (0, 1))
    one = batch.add(tokens[5], 5, (0,), output=True)
    two = batch.add(tokens[6], 5, (1,), output=True)
    context.decode(batch)
    check_same(row(context, one), afresh(make_context, tokens[:6]))
    check_same(row(context, two), afresh(make_context, [*tokens[:5], tokens[6]]))


def test_removing_the_end_goes_back(make_context: Make, context: Context, tokens: list[int]) -> None:
    context.decode_tokens([*tokens[:6], 17, 18, 19])
    assert context.kv.last() == 8
    assert context.kv.remove(0, 6)
    assert (context.kv.first(), context.kv.last()) == (0, 5)
    context.decode_tokens(tokens[6:])
    check_same(row(context), afresh(make_context, tokens))


def test_clear_begins_again(make_context: Make, context: Context, tokens: list[int]) -> None:
    context.decode_tokens(list(reversed(tokens)))
    context.kv.clear()
    assert (context.kv.first(), context.kv.last()) == (None, None)
    context.decode_tokens(tokens)
    check_same(row(context), afresh(make_context, tokens))


@pytest.mark.parametrize("unified", [False, True])
def test_copy_and_keep(make_context: Make, tokens: list[int], unified: bool) -> None:
    context, batch = make_context(n_seq_max=2, kv_unified=unified), Batch(16, n_seq_max=2)
    context.decode_tokens(tokens[:-1])
    context.kv.copy(0, 1)
    assert context.kv.last(1) == len(tokens) - 2
    context.kv.keep(1)
    assert context.kv.last(0) is None
    batch.add(tokens[-1], len(tokens) - 1, (1,), output=True)
    context.decode(batch)
    check_same(row(context), afresh(make_context, tokens))


def test_a_shift_of_everything_changes_nothing(
    make_context: Make, context: Context, tokens: list[int]
) -> None:
    assert context.kv.can_shift
    context.decode_tokens(tokens[:-1])
    context.kv.shift(0, 7)
    assert (context.kv.first(), context.kv.last()) == (7, 7 + len(tokens) - 2)
    context.decode_token(tokens[-1])
    # Rotary positions are relative: moving everything by the same distance changes nothing but rounding.
    shifted = row(context)
    assert np.abs(shifted - afresh(make_context, tokens)).max() < 1.0
    assert shifted.argmax() == afresh(make_context, tokens).argmax()


def test_a_full_context_is_an_error_and_not_the_end(context: Context) -> None:
    context.decode_tokens([17] * 256)
    with pytest.raises(DecodeError, match="no room for 1 more tokens in a context of 256") as caught:
        context.decode_token(17)
    assert caught.value.status == 1
    context.kv.clear()
    context.decode_token(17)
    assert context.kv.last() == 0


@pytest.mark.parametrize("token", [-1, 49152, 2**31 - 1])
def test_tokens_outside_of_the_vocabulary_are_refused(context: Context, token: int) -> None:
    with pytest.raises(DecodeError, match="doesn't accept this batch"):
        context.decode_tokens([17, token])


def test_an_empty_batch_is_refused(context: Context) -> None:
    with pytest.raises(DecodeError, match="doesn't accept"):
        context.decode_tokens([])


def test_a_state_goes_on_elsewhere(make_context: Make, tokens: list[int]) -> None:
    source, target = make_context(), make_context()
    source.decode_tokens(tokens[:-1])
    saved = state.get(source)
    target.decode_tokens([17, 18])
    state.restore(target, saved)
    assert target.kv.last() == source.kv.last()
    for each in (source, target):
        each.decode_token(tokens[-1])
    assert np.array_equal(row(source), row(target))


def test_a_state_in_a_file(make_context: Make, tokens: list[int], tmp_path: Path) -> None:
    source, target = make_context(), make_context()
    source.decode_tokens(tokens[:-1])
    state.save(source, tmp_path / "state", tokens[:-1])
    assert state.load(target, tmp_path / "state") == tokens[:-1]
    for each in (source, target):
        each.decode_token(tokens[-1])
    assert np.array_equal(row(source), row(target))


def test_states_that_cannot_be_used_are_errors(make_context: Make, tmp_path: Path) -> None:
    context = make_context()
    context.decode_token(17)
    with pytest.raises(LlamactlError, match="doesn't fit this context"):
        state.restore(context, b"\xff" * 64)
    with pytest.raises(LlamactlError, match="doesn't fit this context"):
        state.restore(context, state.get(context)[:40])
    (tmp_path / "bad").write_bytes(b"not a state")
    for name in ("bad", "missing"):
        with pytest.raises(LlamactlError, match="can't read a state"):
            state.load(context, tmp_path / name)
    with pytest.raises(LlamactlError, match="can't write the state"):
        state.save(context, tmp_path / "no" / "directory", [17])


def test_restoring_a_state_ends_the_views(make_context: Make, tokens: list[int]) -> None:
    context = make_context()
    context.decode_tokens(tokens)
    saved, view = state.get(context), context.logits()
    state.restore(context, saved)
    assert view.stale, "restoring writes the outputs again"


def test_embeddings(make_context: Make, loaded_model: Model, tokens: list[int]) -> None:
    contexts = [make_context(embeddings=True, pooling=kind) for kind in ("mean", "last", "none")]
    for context in contexts:
        batch = Batch(len(tokens))
        batch.add_sequence(tokens, output="all")
        context.decode(batch)
    mean, last = (np.array(context.sequence_embedding()) for context in contexts[:2])
    each = np.array([np.array(contexts[2].embedding(i)) for i in range(len(tokens))])
    assert each.shape == (len(tokens), loaded_model.n_embd_out)
    assert np.allclose(last, each[-1], atol=1e-3)
    assert np.allclose(mean, each.mean(axis=0), atol=1e-2)
    with pytest.raises(LlamactlError, match="no pooled embedding"):
        contexts[2].sequence_embedding()


def test_facts_of_model_and_context(loaded_model: Model, context: Context) -> None:
    assert loaded_model.metadata["general.architecture"] == "llama"
    assert loaded_model.n_layer == 30
    assert loaded_model.n_params == 134_515_008
    assert (context.n_ctx, context.threads) == (256, (1, 1))
    context.set_threads(2, 1)
    assert context.threads == (2, 1)
    kinds = {one.buffer_type: one for one in context.memory()}
    assert sum(one.model_bytes for one in kinds.values()) == loaded_model.size_bytes
    assert sum(one.context_bytes for one in kinds.values()) > 256 * 30 * 2 * 192 * 2 - 1
    assert (context.in_force.type_k, context.in_force.type_v) == ("f16", "f16")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda c: c.kv.remove(300), "no sequence 300 in a context of 2"),
        (lambda c: c.kv.remove(-5), "no sequence -5"),
        (lambda c: c.kv.copy(0, 2), "no sequence 2"),
        (lambda c: c.kv.shift(-1, 1), "no sequence -1"),
        (lambda c: c.kv.keep(2), "no sequence 2"),
        (lambda c: c.kv.first(256), "no sequence 256"),
        (lambda c: c.kv.last(-1), "no sequence -1"),
        (lambda c: c.kv.copy(0, 1, 0, 2), "kv_unified"),
        (lambda c: c.decode_tokens([17] * 9), "9 tokens at once, the context takes 8"),
        (lambda c: c.encode(Batch(1)), "no encoder"),
        (lambda c: Batch(1).add(17, 0, (0, 1)), "of 2 sequences"),
        (lambda c: Batch(0), "a batch of 0 tokens"),
        (
            lambda c: Context(c.model, ContextParameters(n_threads=100_000)),
            "n_threads 100000 is out of range",
        ),
        (lambda c: Context(c.model, ContextParameters(n_batch=0)), "n_batch 0"),
        (lambda c: Context(c.model, ContextParameters(n_ctx=-1)), "n_ctx -1"),
        (lambda c: Context(c.model, ContextParameters(n_seq_max=257)), "n_seq_max 257"),
    ],
)
def test_what_would_end_the_process_is_refused(
    make_context: Make, use: Callable[[Context], object], message: str
) -> None:
    """Each of these makes the engine abort or read foreign memory when it is let through."""
    context = make_context(n_seq_max=2, n_batch=8)
    with pytest.raises(UsageError, match=message):
        use(context)
