"""Python called back inside of a call, seen from outside by PyGILState_Ensure and PyGILState_Release."""

from __future__ import annotations

import numpy as np

from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.interface.callbacks import callbacks_of, python_inside
from llamactl.trace.mechanisms.interface.crossings import tokens
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.record.calls.calls import CALLED_BACK, WAITED, _Callbacks
from llamactl.trace.record.calls.several import _mean

ENSURE, RELEASE = 0, 1


def made(*rows: tuple[int, int, int, int]) -> np.ndarray:
    """Calls of function, thread, start, duration."""
    records = np.zeros(len(rows), RECORD)
    for record, (nr, tid, start, length) in zip(records, rows, strict=True):
        record["kind"], record["nr"], record["tid"], record["pid"] = Kind.CALL, nr, tid, 1
        record["start"], record["duration"] = start, length
    return records


def test_the_outermost_pair_counts() -> None:
    calls = made(
        (ENSURE, 7, 100, 20),
        (ENSURE, 7, 150, 1),
        (ENSURE, 8, 160, 5),
        (RELEASE, 7, 180, 1),
        (RELEASE, 7, 300, 2),
    )
    pairs = _Callbacks()
    first = pairs.follow(calls[:3], calls["nr"][:3] == ENSURE)
    rest = pairs.follow(calls[3:], calls["nr"][3:] == ENSURE)
    found = [
        (int(row["nr"]), int(row["tid"]), int(row["start"]), int(row["duration"])) for row in [*first, *rest]
    ]
    assert found == [
        (WAITED, 7, 100, 20),
        (WAITED, 7, 150, 1),
        (WAITED, 8, 160, 5),
        (CALLED_BACK, 7, 100, 200),
    ]


def test_python_outside_of_calls_is_no_callback_and_waits_count_once() -> None:
    decode = Function("llama_decode", "b", "l", "dlsym", ("context:p", "n_tokens:i"))
    records = made(
        (0, 1, 0, 500),
        (WAITED, 1, 100, 30),
        (CALLED_BACK, 1, 100, 300),
        (CALLED_BACK, 1, 700, 50),
        (0, 1, 1000, 500),
        (0, 1, 2000, 500),
    )
    records["kind"][1:4] = Kind.GIL
    records["args"][records["kind"] == Kind.CALL, 1] = 1
    exchange = Exchange.of([records], [decode], lambda _: b"")
    assert callbacks_of(exchange)["start"].tolist() == [100]
    assert len(python_inside(exchange).waits) == 1
    rows = tokens(exchange)
    assert (int(rows.in_c_ns[0]), int(rows.gil_wait_ns[0]), int(rows.python_ns[0])) == (200, 30, 770)


def test_the_cost_of_several_processes_is_their_mean() -> None:
    assert _mean([{"x": 2.0, "hits": 10}, {"x": 5.0, "hits": 20}], "x") == 4.0
    assert _mean([{"x": None, "hits": 10}, {"x": 5.0, "hits": 20}], "x") is None
    assert _mean([{"x": 0.0, "hits": 0}], "x") == 0.0
