"""Scripts with one known fault each, and the same without it."""

from __future__ import annotations

import json

import pytest
from exchange_support import PROGRAMS, Trace

COUNT = "12"
WATCHED = ("--engine", "ptrace", "--watch")


@pytest.mark.parametrize("kind", ["PyDLL", "CDLL"])
def test_the_gil_of_plain_ctypes(
    trace: Trace, peer_python: str, library: str, model_file: str, kind: str
) -> None:
    traced = trace(peer_python, str(PROGRAMS / "exchange_plain.py"), kind, library, model_file, COUNT)
    gil = traced.json["exchange"]["gil"]
    decode = traced.functions()["llama_decode"]
    assert decode["count"] == int(COUNT)
    if kind == "PyDLL":
        assert (gil["verdict"], decode["gil_held"]) == ("held", int(COUNT))
        finding = traced.findings()["gil-held"]
        assert finding["figures"]["stalled_ns"] > 0, "the second thread waited"
        assert finding["place"][0].endswith("exchange_plain.py")
        assert "CDLL" in finding["remedy"]
    else:
        assert (gil["verdict"], decode["gil_held"]) == ("released", 0)
        assert "gil-held" not in traced.findings()


def test_python_between_the_calls(trace: Trace, peer_python: str, model_file: str) -> None:
    """A list of 49,152 Python floats, sorted in Python, against a view and a maximum in numpy."""
    program = str(PROGRAMS / "exchange_logits.py")
    slow = trace(peer_python, program, "list", model_file, COUNT)
    fast = trace(peer_python, program, "view", model_file, COUNT)
    assert slow.out == fast.out
    finding = slow.findings()["binding-overhead"]
    # What the thread waited for a CPU isn't Python's.
    spent = [
        traced.json["exchange"]["per_token"]["python_us"]
        - traced.json["waited_between_calls_ns"] / 1e3 / finding["figures"]["tokens"]
        for traced in (slow, fast)
    ]
    assert finding["figures"]["python_us_per_token"] == pytest.approx(spent[0])
    assert spent[0] > 2 * spent[1], "tens of milliseconds against one"


def test_an_event_loop_that_computes(trace: Trace, peer_python: str, model_file: str) -> None:
    program = str(PROGRAMS / "exchange_asyncio.py")
    blocked = trace(peer_python, program, "block", model_file, "16")
    free = trace(peer_python, program, "thread", model_file, "16")
    assert blocked.out == free.out
    finding = blocked.findings()["event-loop-blocked"]
    assert finding["figures"]["longest_ns"] >= finding["figures"]["in_c_ns"] > 0
    decode = blocked.functions()["llama_decode"]
    assert finding["figures"]["in_c_ns"] <= decode["total_ns"]
    assert free.json["blocked_loops"] == []


def test_embeddings_and_states(trace: Trace, peer_python: str, model_file: str) -> None:
    """llama-cpp-python makes lists of embeddings, and copies a state as bytes."""
    program = str(PROGRAMS / "exchange_buffers.py")
    embeddings = trace(peer_python, program, "embed", model_file, "4", options=WATCHED)
    rows = {row["name"]: row for row in embeddings.json["buffers"] if row["what"] == "embeddings"}
    assert sum(row["count"] for row in rows.values()) == 4
    width = json.loads(embeddings.out)["width"]
    assert {row["largest_bytes"] for row in rows.values()} == {width * 4}
    (found,) = embeddings.json["exchange"]["other_buffers"]
    assert (found["name"], found["verdict"], found["tokens"]) == ("embeddings", "list copy", 4)
    states = trace(peer_python, program, "state", model_file, "4", options=WATCHED)
    saved = json.loads(states.out)["saved"]
    row = next(row for row in states.json["buffers"] if row["name"] == "llama_state_get_data")
    assert (row["count"], row["largest_bytes"]) == (4, max(saved))
    found = next(one for one in states.json["exchange"]["other_buffers"] if one["name"] == "state")
    assert (found["verdict"], found["tokens"]) == ("memory copy", 4)
