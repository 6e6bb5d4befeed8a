"""Python that llama.cpp calls back in the middle of a call: its time, its line, the lists it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from agent_support import PROGRAMS, Trace, exchange_of

from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.gil.gil import CALLED_BACK, WAITED
from llamactl.trace.mechanisms.interface.callbacks import callback_rows, callbacks_of, python_inside
from llamactl.trace.mechanisms.interface.crossings import function_rows, tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = PROGRAMS / "agent_callback.py"
TIMES = 8
LINE = PROGRAM.read_text().splitlines().index("        values = numbers[:]") + 1


@pytest.mark.parametrize("interface", ["CDLL", "PyDLL"])
def test_time_line_and_list(built: Path, traced: Trace, python: str, interface: str) -> None:
    result = traced(python, PROGRAM, built / "libllama.so", interface, str(TIMES))
    assert (result.returncode, result.err) == (0, "")
    spent_ns = int(result.out)
    exchange = exchange_of(result)
    (row,) = callback_rows(exchange, vocabulary=5000)
    assert (row.name, row.count, row.lists, row.list_elements) == ("llama_call_back", TIMES, TIMES, 5000)
    assert spent_ns <= row.total_ns <= spent_ns * 1.2 + 1_000_000 * TIMES
    assert row.places[0] == (str(PROGRAM), LINE, "processor")
    (function,) = (one for one in function_rows(exchange) if one.name == "llama_call_back")
    assert function.python_ns == row.total_ns <= (function.total_ns or 0)
    inside = python_inside(exchange)
    assert len(inside.calls) == TIMES, "its own calls into llama.cpp are llama.cpp's"


def test_without_a_line_there_is_none(built: Path, traced: Trace, python: str) -> None:
    result = traced(python, PROGRAM, built / "libllama.so", "CDLL", str(TIMES), "quiet")
    (row,) = callback_rows(exchange_of(result), vocabulary=5000)
    assert (row.count, row.lists, row.places) == (TIMES, 0, ())
    assert row.total_ns >= int(result.out)


FUNCTIONS = [
    Function("llama_decode", "b", "l", "dlsym", ("context:p", "n_tokens:i")),
    Function("llama_sampler_sample", "b", "l", "dlsym"),
]
FIGURES = ("length_ns", "in_c_ns", "gil_wait_ns", "python_ns", "called_back_ns", "crossings")


def call(nr: int, start: int, length: int) -> tuple[int, int, int, int, int]:
    return (Kind.CALL, nr, start, length, 0)


def gil(nr: int, start: int, length: int, depth: int) -> tuple[int, int, int, int, int]:
    return (Kind.GIL, nr, start, length, depth)


def made(*rows: tuple[int, int, int, int, int]) -> Exchange:
    records = np.zeros(len(rows), RECORD)
    for record, (kind, nr, start, length, depth) in zip(records, rows, strict=True):
        record["kind"], record["nr"], record["start"], record["duration"] = kind, nr, start, length
        record["tid"] = record["pid"] = 1
        record["args"][0] = depth
        if kind == Kind.CALL and nr == 0:
            record["args"][1] = 1
    return Exchange.of([records], FUNCTIONS, lambda _: b"")


def test_a_tokens_time_is_divided_between_the_two() -> None:
    exchange = made(
        call(0, 0, 400),
        # The sampler takes 500, of which Python 300: 20 of waiting, and 50 in a call of its own.
        call(1, 400, 500),
        gil(WAITED, 450, 20, 1),
        gil(CALLED_BACK, 450, 300, 1),
        call(1, 600, 50),
        call(0, 1000, 400),
        call(0, 2000, 400),
    )
    rows = tokens(exchange)
    first = {name: int(getattr(rows, name)[0]) for name in FIGURES}
    assert first == {
        "length_ns": 1000,
        "in_c_ns": 400 + 500 - 300 + 50,
        "gil_wait_ns": 20,
        "python_ns": 1000 - 650 - 20,
        "called_back_ns": 300,
        "crossings": 3,
    }
    assert int(rows.in_c_ns[1]) == 400


def test_callbacks_within_callbacks_are_told_apart() -> None:
    exchange = made(
        call(1, 0, 1000),
        gil(CALLED_BACK, 100, 800, 1),
        call(1, 200, 500),
        gil(CALLED_BACK, 300, 100, 2),
        call(1, 350, 10),
    )
    inside = python_inside(exchange)
    spent = int(inside.callbacks["duration"].sum()) - int(inside.calls["duration"].sum())
    assert spent == 800 - 500 + 100 - 10
    assert len(callbacks_of(exchange)) == 2
