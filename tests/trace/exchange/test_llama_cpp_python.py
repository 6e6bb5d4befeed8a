"""llama-cpp-python's high-level API: what the report says against what Python itself counted."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from exchange_support import PROGRAMS, Trace, Traced, plain
from jsonschema import Draft202012Validator

COUNT = 12
SECRETS = ("The capital of France", "Paris")


@pytest.fixture(scope="module")
def pair(trace: Trace, peer_python: str, model_file: str) -> tuple[dict[str, Any], Traced]:
    """What the program said untraced, and the traced program."""
    command = (peer_python, str(PROGRAMS / "agent_generate.py"), "llama_cpp", model_file, str(COUNT))
    return json.loads(plain(*command)), trace(*command)


def test_the_text_is_the_same(pair: tuple[dict[str, Any], Traced]) -> None:
    untraced, traced = pair
    assert json.loads(traced.out) == untraced
    assert "Paris" in untraced["text"]


def test_calls_are_those_that_python_counted(pair: tuple[dict[str, Any], Traced]) -> None:
    untraced, traced = pair
    functions = traced.functions()
    assert {name: functions[name]["count"] for name in untraced["counts"]} == untraced["counts"]
    assert untraced["counts"]["llama_decode"] == COUNT
    assert traced.json["cost"]["complete"]


def test_the_rows(pair: tuple[dict[str, Any], Traced]) -> None:
    traced = pair[1]
    facts = traced.json["exchange"]
    assert [row["kind"] for row in facts["bindings"]] == ["ctypes"]
    assert facts["gil"]["verdict"] == "released"
    assert facts["gil"]["released_computing"] == COUNT
    assert facts["per_token"]["tokens"] == COUNT - 2, "the prompt's decode, and the last one has no end"
    assert traced.mechanism("Interface")["text"][0].startswith("ctypes: ")
    assert traced.mechanism("GIL")["verdict"] == "ok"
    assert f"1 prompt, {COUNT - 1} tokens" in traced.report
    assert max(map(len, traced.report.splitlines())) <= 80


def test_buffers_without_a_device_are_the_machines(pair: tuple[dict[str, Any], Traced]) -> None:
    devices = pair[1].json["devices"]
    assert {row["device_type"] for row in devices["buffers"]} <= {"cpu", ""}
    (cache,) = (row for row in devices["buffers"] if row["kind"] == "KV cache")
    assert (cache["layers"], cache["host"]) == ([[0, 29]], True)
    assert cache["bytes"] % 30 == 0, "as much for each layer"
    (offload,) = devices["offloads"]
    assert (offload["layers"], offload["total"], offload["devices"]) == (0, 31, [])
    assert (devices["memory"], devices["left"]) == ([], [])
    assert pair[1].mechanism("GPU")["verdict"] == "–"


def test_the_agents_records_are_paid_for_apart(pair: tuple[dict[str, Any], Traced]) -> None:
    cost = pair[1].json["cost"]
    engine = cost["records"] - cost["agent_records"]
    assert cost["agent_records"] >= sum(row["count"] for row in pair[1].json["functions"])
    expected = engine * cost["per_record_ns"] + cost["agent_records"] * cost["agent_record_ns"]
    expected += (cost["stops"] or 0) * (cost["per_stop_ns"] or 0)
    assert cost["estimated_s"] == pytest.approx(expected / 1e9)


def test_system_calls_belong_to_the_load(pair: tuple[dict[str, Any], Traced]) -> None:
    work = {row["name"]: row for row in pair[1].json["work"]}
    assert work["llama_model_load_from_file"]["count"] >= 3, "open, fstat, mmap at least"
    system = sum(row["count"] for row in pair[1].json["calls"])
    assert sum(row["count"] for row in work.values()) == system


def test_json_follows_its_schema(pair: tuple[dict[str, Any], Traced]) -> None:
    schema = json.loads((files("llamactl.render") / "schemas" / "trace.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(pair[1].json)


def test_prompts_and_answers_stay_out(pair: tuple[dict[str, Any], Traced]) -> None:
    text = json.dumps(pair[1].json) + pair[1].report
    assert [secret for secret in SECRETS if secret in text] == []
