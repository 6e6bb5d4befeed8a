"""Text from tokens: whole characters, stop strings, round trips."""

from __future__ import annotations

import itertools
import random

import pytest

from llamactl.engine import Model
from llamactl.engine.text import TextStream
from llamactl.errors import LlamactlError


def pieces(data: bytes, chosen: random.Random) -> list[bytes]:
    """Cut bytes anywhere."""
    cuts = sorted({0, len(data), *(chosen.randrange(len(data) + 1) for _ in range(chosen.randrange(8)))})
    return [data[low:high] for low, high in itertools.pairwise(cuts)]


@pytest.mark.parametrize("seed", range(60))
def test_any_cut_gives_the_same_text(seed: int) -> None:
    chosen = random.Random(seed)
    text = "".join(chosen.choice("ab \n€🙂é中STOP") for _ in range(chosen.randrange(1, 60)))
    stops = chosen.sample(["STOP", "ab", "a🙂", "\n\n", "€€", "zzz"], chosen.randrange(4))
    ends = [text.index(stop) for stop in stops if stop in text]
    stream, shown = TextStream(stops), ""
    for piece in pieces(text.encode(), chosen):
        shown += stream.add(piece)
        assert "\ufffd" not in shown
        if stream.stopped_by is not None:
            break
    shown += stream.finish()
    # Which of two stops comes first may depend on what has been seen; neither is ever shown.
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert (stream.stopped_by is not None) == bool(ends)
    if ends:
        assert text[len(shown) :].startswith(stream.stopped_by or "")
    else:
        assert shown == text


def test_what_may_become_a_stop_is_held_back() -> None:
    stream = TextStream(["<end>"])
    assert [stream.add(piece) for piece in (b"a<", b"en", b"x<e", b"nd", b">b")] == ["a", "", "<enx", "", ""]
    assert (stream.stopped_by, stream.finish()) == ("<end>", "")
    assert TextStream(["<end>"]).add(b"") == ""


def test_held_text_comes_at_the_end() -> None:
    stream = TextStream(["<end>"])
    assert stream.add(b"a<en") == "a"
    assert stream.finish() == "<en"


def test_bytes_that_never_become_a_character() -> None:
    stream = TextStream()
    assert stream.add(b"a\xf0\x9f") == "a"
    assert stream.finish() == "\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world",
        "Größe 20 °C",
        "🙂👩‍👩‍👧",
        "中文 عربي",
        "a\0b",
        " leading",
        "tabs\t\n\nlines\r\n",
        "𝔘𝔫𝔦",
        "x" * 5000,
    ],
)
def test_round_trips(loaded_model: Model, text: str) -> None:
    vocabulary = loaded_model.vocabulary
    tokens = vocabulary.tokenize(text)
    assert vocabulary.detokenize(tokens) == text
    assert b"".join(map(vocabulary.piece, tokens)).decode() == text
    stream = TextStream()
    assert "".join(map(stream.add, map(vocabulary.piece, tokens))) + stream.finish() == text


def test_an_emoji_over_several_tokens_comes_at_once(loaded_model: Model) -> None:
    vocabulary, stream = loaded_model.vocabulary, TextStream()
    tokens = vocabulary.tokenize("🧿")
    assert len(tokens) > 1
    shown = [stream.add(vocabulary.piece(token)) for token in tokens]
    assert shown == [""] * (len(tokens) - 1) + ["🧿"]


def test_special_tokens(loaded_model: Model) -> None:
    vocabulary = loaded_model.vocabulary
    (start,) = vocabulary.tokenize("<|im_start|>")
    assert len(vocabulary.tokenize("<|im_start|>", parse_special=False)) > 1
    assert (vocabulary.piece(start), vocabulary.piece(start, special=True)) == (b"", b"<|im_start|>")
    assert vocabulary.eos is not None
    assert vocabulary.is_end(vocabulary.eos)
    assert not vocabulary.is_end(17)
    assert vocabulary.size == 49152
    assert vocabulary.tokenize("") == []


@pytest.mark.parametrize("token", [-1, 49152, 2**31 - 1])
def test_tokens_that_are_none(loaded_model: Model, token: int) -> None:
    for use in (loaded_model.vocabulary.piece, lambda one: loaded_model.vocabulary.detokenize([one])):
        with pytest.raises(LlamactlError, match=rf"token {token} isn't in the vocabulary of 49152 tokens"):
            use(token)


def test_bytes_that_are_no_utf8_can_be_tokenized(loaded_model: Model) -> None:
    assert loaded_model.vocabulary.tokenize(b"\xff\xfe")
    assert loaded_model.vocabulary.tokenize("\udcff") == loaded_model.vocabulary.tokenize(b"\xff")
