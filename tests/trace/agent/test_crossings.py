"""What a token costs, added up from records that are known."""

from __future__ import annotations

import numpy as np

from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.record import RECORD, Flag, Kind
from llamactl.trace.mechanisms.interface.crossings import function_rows, per_token, tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange

DECODE, LOGITS, PIECE, VOCABULARY = range(4)
FUNCTIONS = [
    Function("llama_decode", "/b", "/l", "dlsym", parse_keeps("context:p n_tokens:i tokens:p +")[0], "", "i"),
    Function("llama_get_logits_ith", "/b", "/l", "dlsym", ("context:p", "index:i"), "", "p"),
    Function("llama_token_to_piece", "/b", "/l", "dlsym", ("buffer:p", "room:i"), "", "i"),
    Function("llama_vocab_n_tokens", "/b", "/l", "dlsym", (), "", "i"),
]
TEXTS = {0: b"", 1: b"/srv/a:b.py:12:run.<locals>.f", 2: b"no place"}


def call(
    nr: int, start: int, duration: int, ret: int = 0, n_tokens: int = 1, context: int = 1, tid: int = 1
) -> np.void:
    record: np.void = np.zeros(1, RECORD)[0]
    record["kind"], record["nr"], record["tid"], record["pid"] = Kind.CALL, nr, tid, 1
    record["start"], record["duration"], record["ret"] = start, duration, ret
    record["flags"] = Flag.GIL_RELEASED
    if nr == DECODE:
        record["args"][:2] = context, n_tokens
    return record


def wait(start: int, duration: int, depth: int = 0) -> np.void:
    record = call(0, start, duration)
    record["kind"], record["nr"] = Kind.GIL, 1
    record["args"][0] = depth
    return record


def exchange(*records: np.void) -> Exchange:
    piece = np.zeros(len(records), RECORD)
    for position, record in enumerate(records):
        piece[position] = record
    return Exchange.of([piece], FUNCTIONS, lambda reference: TEXTS[reference])


STEPS = (
    call(DECODE, 0, 50, n_tokens=9),
    call(DECODE, 100, 60),
    wait(160, 5),
    call(LOGITS, 170, 2, ret=4096),
    call(PIECE, 175, 3, ret=7),
    call(DECODE, 200, 60),
    call(DECODE, 300, 60),
    call(DECODE, 9000, 50, n_tokens=4),
    call(DECODE, 9100, 50),
)


def test_a_token_adds_up() -> None:
    rows = tokens(exchange(call(VOCABULARY, 1, 1, ret=1000), *STEPS))
    assert rows.start.tolist() == [100, 200], "neither prompts nor the last token of an answer"
    assert rows.length_ns.tolist() == [100, 100]
    assert rows.decode_ns.tolist() == [60, 60]
    assert rows.in_c_ns.tolist() == [65, 60]
    assert rows.gil_wait_ns.tolist() == [5, 0]
    assert rows.python_ns.tolist() == [30, 40]
    assert rows.crossings.tolist() == [3, 1]
    assert rows.bytes is not None
    assert rows.bytes.tolist() == [4000 + 7 + 4, 4]
    assert per_token(rows).python_us == 0.035


def test_bytes_of_logits_need_the_size_of_the_vocabulary() -> None:
    assert tokens(exchange(*STEPS)).bytes is None
    assert per_token(tokens(exchange(*STEPS))).bytes is None


def test_contexts_and_threads_are_apart() -> None:
    mixed = [call(DECODE, 100 * n, 10, context=n % 2, tid=1 + n % 2) for n in range(6)]
    rows = tokens(exchange(*mixed))
    assert rows.length_ns.tolist() == [200] * 4
    assert rows.crossings.tolist() == [1] * 4


def test_waits_inside_a_call_are_the_calls() -> None:
    rows = tokens(exchange(call(DECODE, 0, 60), wait(20, 10, depth=1), call(DECODE, 100, 60)))
    assert (rows.in_c_ns.tolist(), rows.gil_wait_ns.tolist(), rows.python_ns.tolist()) == ([60], [0], [40])


def test_functions_and_places() -> None:
    calls = [call(DECODE, 10 * n, n) for n in range(3)]
    calls[0]["text2"], calls[1]["text2"], calls[2]["text2"] = 1, 1, 2
    calls[2]["flags"] |= Flag.NO_EXIT | Flag.LEFT
    (row,) = function_rows(exchange(*calls))
    assert (row.name, row.count, row.unfinished, row.total_ns, row.gil_released) == (
        "llama_decode",
        3,
        1,
        1,
        3,
    )
    assert row.places == (("/srv/a:b.py", 12, "run.<locals>.f"),)


def test_nothing() -> None:
    empty = exchange()
    assert (function_rows(empty), len(tokens(empty)), per_token(tokens(empty)).median_us) == ([], 0, None)
