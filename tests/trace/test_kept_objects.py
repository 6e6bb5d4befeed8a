"""Which objects of llama.cpp were made and not freed while memory grew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llamactl.render.trace.findings.memory import SENTENCES
from llamactl.trace.capture.functions import Function
from llamactl.trace.capture.record import RECORD, Kind
from llamactl.trace.mechanisms.findings.finding import FindingKind
from llamactl.trace.mechanisms.interface.exchange import Exchange
from llamactl.trace.mechanisms.interface.kept_objects import kept_objects

NAMES = (
    ("llama_init_from_model", ()),
    ("llama_free", ("context:p",)),
    ("llama_sampler_chain_init", ()),
    ("llama_sampler_free", ("sampler:p",)),
    ("llama_batch_init", ()),
    ("llama_batch_free", ()),
)
NUMBERS = {name: number for number, (name, _) in enumerate(NAMES)}
PLACES = [b"", b"/app/site-packages/b.py:3:make\n/app/main.py:9:ask", b"/app/other.py:1:x"]


def exchange(*calls: tuple[str, int, int, int, int]) -> Exchange:
    """Make calls of name, moment, result, first argument, place."""
    records = np.zeros(len(calls), RECORD)
    for record, (name, start, ret, argument, place) in zip(records, calls, strict=True):
        record["kind"], record["nr"], record["start"] = Kind.CALL, NUMBERS[name], start
        record["ret"], record["args"][0], record["text2"] = ret, argument, place
        record["tid"] = record["pid"] = 5
    functions = [Function(name, "b", "l", "dlsym", args) for name, args in NAMES]
    return Exchange.of([records], functions, lambda reference: PLACES[reference])


def requests(freed: bool) -> list[tuple[str, int, int, int, int]]:
    calls = []
    for number in range(10):
        at, chain = number * 100, 0x1000 + number
        calls += [("llama_sampler_chain_init", at, chain, 0, 1), ("llama_batch_init", at + 1, 0, 0, 2)]
        calls += [("llama_batch_free", at + 50, 0, 0, 2)]
        calls += [("llama_sampler_free", at + 60, 0, 0x77, 2)]  # A single one, in no chain.
        calls += [("llama_sampler_free", at + 70, 0, chain, 1)] if freed else []
    return calls


def test_samplers_that_wait_for_the_collector_are_named() -> None:
    found = kept_objects(exchange(*requests(freed=False)), 5, 100, 1000)
    assert found is not None
    (row,) = found
    assert (row.name, row.made, row.freed, row.kept) == ("samplers", 9, 0, 9)
    assert (row.place, row.caller) == (("/app/site-packages/b.py", 3, "make"), ("/app/main.py", 9, "ask"))


def test_what_is_freed_is_not_kept() -> None:
    assert kept_objects(exchange(*requests(freed=True)), 5, 100, 1000) == []
    assert kept_objects(exchange(*requests(freed=False)), 6, 100, 1000) == [], "another process"


def test_contexts_count_that_were_made() -> None:
    calls = [("llama_init_from_model", 10, 0x9, 0, 2), ("llama_init_from_model", 20, 0, 0, 2)]
    found = kept_objects(exchange(*calls), 5, 0, 100)
    assert found is not None
    assert [(row.name, row.made) for row in found] == [("contexts", 1)], "the second one failed"


def test_where_calls_are_missing_nothing_is_said() -> None:
    made = exchange(*requests(freed=False))
    assert kept_objects(replace(made, lost=1), 5, 0, 1000) is None
    counted = {NUMBERS["llama_sampler_free"]: (4, 400)}
    assert kept_objects(replace(made, counted=counted), 5, 0, 1000) is None


def sentence(known: bool, kept: list[dict[str, object]]) -> str:
    figures = {"pid": 5, "requests": 9, "grown_bytes": 9 << 20, "per_request_bytes": 1 << 20}
    return " ".join(SENTENCES[FindingKind.MEMORY_GROWS]({**figures, "calls_known": known, "kept": kept}))


def test_the_sentence_says_what_is_known() -> None:
    assert "9 samplers were made and none freed" in sentence(
        True, [{"name": "samplers", "made": 9, "freed": 0}]
    )
    assert "9 contexts were made and only 2 freed" in sentence(
        True, [{"name": "contexts", "made": 9, "freed": 2}]
    )
    assert "No context, sampler, batch or model was made and kept" in sentence(True, [])
    assert "are contexts, samplers, batches or caches kept?" in sentence(False, [])
