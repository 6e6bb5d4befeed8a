"""The generation loop: prompt in, text out, each step on the clock."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns

from llamactl.engine import guard
from llamactl.engine.batch import Batch
from llamactl.engine.context import Context, DecodeAbortedError
from llamactl.engine.native import ffi, lib
from llamactl.engine.sampling import Sampler, checked
from llamactl.engine.text import TextStream
from llamactl.errors import UsageError

STAMPS_PER_TOKEN = 5
"""Before sampling, after it, after detokenizing, after the callback, after decoding."""


@dataclass(slots=True)
class Generated:
    """What one generation did. Times are nanoseconds of CLOCK_MONOTONIC.

    Attributes:
        n_prompt: Tokens of the prompt.
        tokens: Tokens chosen, without the one that ended it.
        finish_reason: ``stop`` (the model ended, or a stop string came), ``length`` (as many tokens as
            asked for), ``context`` (the context is full) or ``interrupted``.
        stopped_by: The stop string, if one ended it.
        start_ns: When the prompt was handed in.
        prefill_ns: Time to compute the prompt; None when that was interrupted.
        stamps: :data:`STAMPS_PER_TOKEN` times for each token tried; 0 for a step not taken.
    """

    n_prompt: int
    start_ns: int
    prefill_ns: int | None = None
    tokens: list[int] = field(default_factory=list)
    finish_reason: str = "length"
    stopped_by: str | None = None
    stamps: array[int] = field(default_factory=lambda: array("q"))


def check_prompt(context: Context, n_prompt: int) -> None:
    """Raise :class:`UsageError` unless a prompt of this many tokens fits and isn't empty."""
    if n_prompt == 0:
        raise UsageError("the prompt has no tokens", "Write a prompt.")
    if n_prompt > context.n_ctx:
        raise UsageError(
            f"the prompt has {n_prompt} tokens, the context holds {context.n_ctx}",
            f"Make the context larger (-c {n_prompt + 256}) or the prompt shorter.",
        )


def generate(
    context: Context,
    sampler: Sampler,
    prompt: Sequence[int],
    n_predict: int = -1,
    stops: Sequence[str] = (),
    on_text: Callable[[str], object] | None = None,
) -> Generated:
    """Continue a prompt in an empty context.

    Args:
        context: Its sequence 0 is used.
        sampler: Chooses the tokens; its penalties see those of the prompt.
        prompt: Tokens.
        n_predict: Most tokens to generate; negative for as many as fit the context.
        stops: Strings that end the text.
        on_text: Gets the text as it becomes certain, whole characters only.

    Raises:
        UsageError: The prompt is empty or longer than the context.
        DecodeError: The engine failed.
    """
    check_prompt(context, len(prompt))
    done = Generated(len(prompt), perf_counter_ns())
    stream = TextStream(stops)
    emit = on_text or _discard
    room = context.n_ctx - len(prompt) + 1
    limit = room if n_predict < 0 else min(n_predict, room)
    try:
        seen = _prefill(context, prompt)
        done.prefill_ns = perf_counter_ns() - done.start_ns
        sampler.accept_checked(seen)
        _loop(context, sampler, limit, stream, emit, done)
    except DecodeAbortedError:
        done.finish_reason = "interrupted"
    if done.finish_reason == "length" and 0 <= limit < n_predict:
        done.finish_reason = "context"
    if n_predict < 0 and done.finish_reason == "length":
        done.finish_reason = "context"
    done.stopped_by = stream.stopped_by
    if rest := stream.finish():
        emit(rest)
    return done


def _discard(text: str) -> None:
    """Take text and do nothing with it."""


def _prefill(context: Context, prompt: Sequence[int]) -> Sequence[int]:
    """Compute the prompt and return the tokens that the decoder saw of it."""
    model = context.model
    if model.has_encoder:
        batch = Batch(len(prompt))
        batch.add_sequence(prompt, output="all")
        context.encode(batch)
        start = int(lib.llama_model_decoder_start_token(model.pointer))
        prompt = [model.vocabulary.bos or 0 if start == lib.LLAMA_TOKEN_NULL else start]
    n_batch = context.n_batch
    for position in range(0, len(prompt), n_batch):
        context.decode_tokens(prompt[position : position + n_batch])
    context.synchronize()
    return prompt


def _loop(
    context: Context,
    sampler: Sampler,
    limit: int,
    stream: TextStream,
    emit: Callable[[str], object],
    done: Generated,
) -> None:
    """Choose, show, decode; the hot path. Locals and bound functions keep Python's share small."""
    now, stamp, keep, add = perf_counter_ns, done.stamps.extend, done.tokens.append, stream.add
    (choose, choice), step = sampler.chooser(context), context.stepper()
    piece, long_piece = ffi.buffer(choice.piece), context.model.vocabulary.piece
    interrupted = guard.interrupt_flag()
    for left in range(limit, 0, -1):
        choose()
        token, length = choice.token, choice.length
        if token < 0:
            checked(token)
        if choice.is_end:
            done.finish_reason = "stop"
            stamp((choice.before_ns, choice.sampled_ns, 0, 0, 0))
            return
        keep(token)
        text = add(piece[:length] if length >= 0 else long_piece(token))
        detokenized = now()
        if text:
            emit(text)
        shown = now()
        if left == 1 or stream.stopped_by is not None or interrupted[0]:
            done.finish_reason = _reason(done, stream, bool(interrupted[0]))
            stamp((choice.before_ns, choice.sampled_ns, detokenized, shown, 0))
            return
        try:
            step(token)
        except DecodeAbortedError:
            stamp((choice.before_ns, choice.sampled_ns, detokenized, shown, 0))
            raise
        stamp((choice.before_ns, choice.sampled_ns, detokenized, shown, now()))


def _reason(done: Generated, stream: TextStream, interrupted: bool) -> str:
    if stream.stopped_by is not None:
        return "stop"
    return "interrupted" if interrupted else done.finish_reason
