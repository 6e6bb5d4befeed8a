"""Numbers and foreign text for people, and facts as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from llamactl.render.document import document, dumps
from llamactl.render.safe import safe_text, strip_control
from llamactl.render.units import rate, seconds, size


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (None, "unknown"), (0, "0.00 µs"), (1_500, "1.50 µs"), (99_999, "100 µs"), (100_000, "0.10 ms"),
        (3_210_000, "3.21 ms"), (100_000_000, "0.10 s"), (12_345_678_901, "12.3 s"), (3_600_000_000_000, "3600 s"),
    ],
)  # fmt: skip
def test_durations(ns: int | None, shown: str) -> None:
    assert seconds(ns) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "unknown"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (98_362_432, "93.8 MiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_sizes(count: int | None, shown: str) -> None:
    assert size(count) == shown


def test_rates() -> None:
    assert [rate(value, "tok") for value in (None, 0.5, 12.34, 110.4)] == [
        "unknown", "0.50 tok/s", "12.3 tok/s", "110 tok/s"
    ]  # fmt: skip


HOSTILE = "a\x1b[31mb\rc\x07\x9b2J\u202ed\x7f\x00e\n\tf"


def test_streamed_text_keeps_lines_and_loses_controls() -> None:
    assert strip_control(HOSTILE) == "a[31mbc2Jde\n\tf"
    assert strip_control("Größe 🙂👩‍👩‍👧\n") == "Größe 🙂👩‍👩‍👧\n"


def test_names_stay_on_one_line_and_show_what_they_hold() -> None:
    shown = safe_text(HOSTILE + "\udcff\u2028")
    assert shown == r"a\x1b[31mb\rc\x07\x9b2J\u202ed\x7f\x00e\n\tf\udcff\u2028"


def test_documents() -> None:
    @dataclass(frozen=True)
    class Part:
        value: int | None
        names: tuple[str, ...]

    found = document("x", 3, Part(None, ("é", "\x1b")))
    assert list(found) == ["schema", "schema_version", "value", "names"]
    assert json.loads(dumps(found)) == {
        "schema": "llamactl.x", "schema_version": 3, "value": None, "names": ["é", "\x1b"]
    }  # fmt: skip
    assert "\x1b" not in dumps(found)
    lone = dumps({"path": "\udcff"})
    assert lone.encode("utf-8")
    assert json.loads(lone) == {"path": "\udcff"}
    with pytest.raises(ValueError, match="JSON"):
        dumps({"x": float("nan")})


@pytest.mark.parametrize("mark", "\u061c\u200e\u200f\u202a\u202e\u2066\u2069")
def test_no_mark_of_direction_reaches_the_terminal(mark: str) -> None:
    assert safe_text(f"a{mark}b") == f"a\\u{ord(mark):04x}b"
    assert strip_control(f"a{mark}b") == "ab"
