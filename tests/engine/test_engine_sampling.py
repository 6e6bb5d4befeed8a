"""Sampler chains and the generation loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llamactl.engine import GREEDY, Context, Model, Sampler, SamplingParameters, generate
from llamactl.engine.generation import STAMPS_PER_TOKEN
from llamactl.engine.sampling_parameters import DEFAULTS
from llamactl.errors import LlamactlError, UsageError
from llamactl.run.timing import percentile

Make = Callable[..., Context]


def tokens_of(make: Make, model: Model, text: str, n: int, **options: Any) -> Any:
    """Generate in a new context."""
    parameters = options.pop("sampling", GREEDY)
    with Sampler(model, parameters) as sampler:
        return generate(make(), sampler, model.vocabulary.tokenize(text), n, **options)


def test_greedy_is_the_largest_logit(context: Context, loaded_model: Model) -> None:
    prompt = loaded_model.vocabulary.tokenize("The capital of France is")
    context.decode_tokens(prompt)
    with Sampler(loaded_model, GREEDY) as sampler:
        assert sampler.names[-2:] == ("temp-ext", "dist"), (
            "llama.cpp's programs leave one candidate to choose from"
        )
        assert sampler.seed is None
        for _ in range(8):
            expected = int(context.logits().numpy().argmax())
            assert sampler.sample(context) == expected
            context.decode_token(expected)


@pytest.mark.parametrize(
    "parameters",
    [
        SamplingParameters(top_k=1),
        SamplingParameters(temperature=0.0001),
        SamplingParameters(top_p=0.0, min_p=1.0, seed=3),
        SamplingParameters(temperature=-1, top_k=7),
    ],
)
def test_what_leaves_one_candidate_is_greedy(
    make_context: Make, loaded_model: Model, parameters: SamplingParameters
) -> None:
    assert (
        tokens_of(make_context, loaded_model, "One, two,", 8, sampling=parameters).tokens
        == tokens_of(make_context, loaded_model, "One, two,", 8).tokens
    )


def test_seeds(make_context: Make, loaded_model: Model) -> None:
    def run(seed: int) -> tuple[int, ...]:
        parameters = SamplingParameters(seed=seed, temperature=1.5)
        return tuple(tokens_of(make_context, loaded_model, "Once", 10, sampling=parameters).tokens)

    assert run(1) == run(1)
    assert len({run(seed) for seed in range(4)}) > 1
    for seed, why in ((-1, "out of range"), (2**32, "out of range"), (2**32 - 1, "stands for a random one")):
        with pytest.raises(UsageError, match=f"{why}. Use 0 to 4294967294"):
            Sampler(loaded_model, SamplingParameters(seed=seed))
    with Sampler(loaded_model) as one, Sampler(loaded_model) as other:
        assert one.seed != other.seed


def test_bias_and_penalty_reach_the_choice(make_context: Make, loaded_model: Model) -> None:
    first = tokens_of(make_context, loaded_model, "Hello", 1).tokens[0]
    never = SamplingParameters(temperature=0, logit_bias=((first, float("-inf")),))
    assert tokens_of(make_context, loaded_model, "Hello", 1, sampling=never).tokens[0] != first
    always = SamplingParameters(temperature=0, logit_bias=((17, 1000.0),))
    assert tokens_of(make_context, loaded_model, "Hello", 4, sampling=always).tokens == [17] * 4
    once = SamplingParameters(temperature=0, logit_bias=((17, 50.0),), frequency_penalty=1000.0)
    assert tokens_of(make_context, loaded_model, "Hello", 4, sampling=once).tokens.count(17) == 1


def test_a_chain_with_everything(make_context: Make, loaded_model: Model) -> None:
    parameters = SamplingParameters(
        seed=5, typical_p=0.9, top_n_sigma=2.0, xtc_probability=0.5, repeat_penalty=1.1, dry_multiplier=0.5,
        dynatemp_range=0.3, logit_bias=((17, 1.0),), grammar='root ::= [a-z ]+',
    )  # fmt: skip
    with Sampler(loaded_model, parameters) as sampler:
        assert sampler.names == (
            "grammar", "logit-bias", "penalties", "dry", "top-n-sigma", "top-k", "typical", "top-p", "min-p",
            "xtc", "temp-ext", "dist",
        )  # fmt: skip
        assert sampler.seed == 5
        done = generate(make_context(), sampler, loaded_model.vocabulary.tokenize("Once"), 8)
    text = loaded_model.vocabulary.detokenize(done.tokens)
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz ")


@pytest.mark.parametrize("mirostat", [1, 2])
def test_mirostat(make_context: Make, loaded_model: Model, mirostat: int) -> None:
    parameters = SamplingParameters(seed=1, mirostat=mirostat)
    assert len(tokens_of(make_context, loaded_model, "Once", 4, sampling=parameters).tokens) == 4


def test_a_grammar_ends_the_text(make_context: Make, loaded_model: Model) -> None:
    parameters = SamplingParameters(temperature=0, grammar='root ::= "yes" | "no"')
    done = tokens_of(make_context, loaded_model, "Is it?", 20, sampling=parameters)
    assert loaded_model.vocabulary.detokenize(done.tokens) in {"yes", "no"}
    assert done.finish_reason == "stop"


@pytest.mark.parametrize("grammar", ["root ::= (", "root ::= y", 'x ::= "a"', "root ::= root"])
def test_grammars_that_are_none(loaded_model: Model, grammar: str) -> None:
    with pytest.raises(UsageError, match="grammar can't be parsed"):
        Sampler(loaded_model, SamplingParameters(grammar=grammar))


def test_accepting_what_was_not_chosen(context: Context, loaded_model: Model) -> None:
    """Tokens of a prompt count for penalties, not for a grammar; foreign ones are refused."""
    parameters = SamplingParameters(
        temperature=0, grammar='root ::= "a" | "b"', frequency_penalty=1000.0, repeat_last_n=8
    )
    a, b = (loaded_model.vocabulary.tokenize(one)[0] for one in "ab")
    context.decode_token(17)
    with Sampler(loaded_model, parameters) as sampler:
        sampler.accept(a)
        assert sampler.sample(context) == b
        sampler.reset()
        for token in (-1, 49152):
            with pytest.raises(LlamactlError, match="isn't in the vocabulary"):
                sampler.accept(token)


def test_penalties_see_the_prompt(make_context: Make, loaded_model: Model) -> None:
    """The likeliest token is of the prompt: a penalty on it chooses another."""
    greedy = tokens_of(make_context, loaded_model, "a b a b a b a", 1).tokens
    assert loaded_model.vocabulary.detokenize(greedy) == " b"
    for never in (
        SamplingParameters(temperature=0, presence_penalty=1000.0),
        SamplingParameters(temperature=0, dry_multiplier=1000.0, dry_allowed_length=1),
    ):
        chosen = tokens_of(make_context, loaded_model, "a b a b a b a", 1, sampling=never).tokens
        assert chosen != greedy


def test_what_is_left_out_is_llama_cpps(loaded_model: Model) -> None:
    with Sampler(loaded_model) as sampler:
        assert sampler.in_force == DEFAULTS
        assert sampler.names == ("top-k", "top-p", "min-p", "temp-ext", "dist")
    assert (DEFAULTS["top_k"], DEFAULTS["repeat_last_n"]) == (40, 64)


def test_the_order_of_samplers(loaded_model: Model) -> None:
    order = SamplingParameters(samplers=("temperature", "top-k", "adaptive_p"), adaptive_target=0.5)
    with Sampler(loaded_model, order) as sampler:
        assert sampler.names == ("temp-ext", "top-k", "adaptive-p")
    with pytest.raises(UsageError, match=r"sampler 'top-x' is unknown. Choose from: dry, top_k, "):
        Sampler(loaded_model, SamplingParameters(samplers=("top_k", "top-x")))


@pytest.mark.parametrize(
    "name, value",
    [
        ("mirostat", 3),
        ("repeat_last_n", -1),
        ("repeat_penalty", 0),
        ("dry_base", 0.5),
        ("top_p", float("nan")),
    ],
)
def test_numbers_that_the_engine_would_abort_on_or_pass_over(
    loaded_model: Model, name: str, value: float
) -> None:
    with pytest.raises(UsageError, match=f"{name} {value} is out of range. Use "):
        Sampler(loaded_model, SamplingParameters(**{name: value}))  # type: ignore[arg-type]


def test_sampling_where_there_is_no_output(context: Context, loaded_model: Model) -> None:
    with Sampler(loaded_model) as sampler:
        with pytest.raises(LlamactlError, match="no logits for output -1"):
            sampler.sample(context)
        context.decode_tokens([17, 18])
        for index in (0, 5, -7):
            with pytest.raises(LlamactlError, match=f"no logits for output {index}"):
                sampler.sample(context, index)
        assert 0 <= sampler.sample(context) < 49152


def test_finish_reasons(make_context: Make, loaded_model: Model) -> None:
    def run(text: str, n: int, **options: Any) -> Any:
        return tokens_of(make_context, loaded_model, text, n, **options)

    assert run("Hello", 3).finish_reason == "length"
    assert run("Hello", 0).tokens == []
    ignoring = SamplingParameters(temperature=0, ignore_eos=True)
    full = run("a b " * 120, -1, sampling=ignoring)
    assert (full.finish_reason, full.n_prompt + len(full.tokens)) == ("context", 257)
    assert run("a b " * 120, 1000, sampling=ignoring).finish_reason == "context"
    template = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ended = run(template, 100)
    assert ended.finish_reason == "stop"
    assert ended.stopped_by is None
    assert not any(map(loaded_model.vocabulary.is_end, ended.tokens))
    longer = run(template, len(ended.tokens) + 5, sampling=ignoring)
    assert len(longer.tokens) == len(ended.tokens) + 5
    assert not any(map(loaded_model.vocabulary.is_end, longer.tokens)), "an end token was chosen and fed back"


def test_a_stop_string_over_tokens(make_context: Make, loaded_model: Model) -> None:
    shown: list[str] = []
    whole = loaded_model.vocabulary.detokenize(
        tokens_of(make_context, loaded_model, "1, 2, 3, 4,", 16).tokens
    )
    stop = whole[5:9]
    done = tokens_of(make_context, loaded_model, "1, 2, 3, 4,", 16, stops=[stop], on_text=shown.append)
    assert (done.finish_reason, done.stopped_by) == ("stop", stop)
    assert "".join(shown) == whole[: whole.index(stop)]


def test_stamps_are_in_order(make_context: Make, loaded_model: Model) -> None:
    done = tokens_of(make_context, loaded_model, "Hello", 5)
    rows = np.array(done.stamps).reshape(-1, STAMPS_PER_TOKEN)
    assert len(rows) == len(done.tokens) == 5
    taken = [stamp for stamp in done.stamps if stamp]
    assert taken == sorted(taken)
    assert rows[-1][4] == 0, "the last token isn't decoded"
    assert done.start_ns + done.prefill_ns <= taken[0]


def test_an_exception_in_on_text_comes_out(make_context: Make, loaded_model: Model) -> None:
    def fail(text: str) -> None:
        raise BrokenPipeError(text)

    with pytest.raises(BrokenPipeError):
        tokens_of(make_context, loaded_model, "Hello", 5, on_text=fail)


def test_prompts_that_do_not_fit(make_context: Make, loaded_model: Model) -> None:
    with pytest.raises(UsageError, match="no tokens"):
        tokens_of(make_context, loaded_model, "", 5)
    with pytest.raises(UsageError, match="the context holds 256"):
        tokens_of(make_context, loaded_model, "a b " * 200, 5)


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert [percentile([7], share) for share in (0.5, 0.99)] == [7, 7]
    hundred = list(range(100, 0, -1))
    assert [percentile(hundred, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([1, 2, 3, 4], 0.5) == 2
