"""``--json`` and ``--jsonl`` keep their schemas, and their figures add up."""

from __future__ import annotations

import json
import os
from typing import Any

import jsonschema
import pytest
from support import Run

from llamactl.render.document import schema

SHORT = ("--temp", "0", "-c", "512")


def check(value: Any, name: str) -> Any:
    """Validate a document against a schema of the package."""
    jsonschema.Draft202012Validator(schema(name)).validate(value)
    return value


def document(llamactl: Run, *arguments: str, code: int = 0, **options: Any) -> Any:
    """Run with ``--json`` and return the valid document."""
    result = llamactl("run", "--json", *SHORT, *arguments, **options)
    assert result.returncode == code, result.stderr
    return check(json.loads(result.stdout), "run")


def events(text: str) -> list[Any]:
    """Return the valid events of a stream."""
    return [check(json.loads(line), "run-event") for line in text.splitlines()]


@pytest.mark.parametrize("name", ["run", "run-event", "run-prompt"])
def test_schemas_are_schemas_and_strict(name: str) -> None:
    whole = schema(name)
    jsonschema.Draft202012Validator.check_schema(whole)
    objects = [one for one in walk(whole) if one.get("type") == "object"]
    assert len(objects) > (8 if name != "run-prompt" else 1)
    for one in objects:
        assert one["additionalProperties"] is False
        assert sorted(one["required"]) == sorted(one["properties"])
        assert all("description" in each for each in one["properties"].values())


def walk(value: Any) -> Any:
    """Yield every mapping inside."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(one)


def test_the_document(llamactl: Run, model_path: object) -> None:
    found = document(llamactl, "-n", "24", "-t", "1", "Name three colours.")
    text = llamactl("run", *SHORT, "-q", "-n", "24", "-t", "1", "Name three colours.").stdout
    assert found["text"].rstrip("\n") == text.rstrip("\n") != ""
    assert found["model"]["path"] == str(model_path)
    assert found["settings"]["threads"] == {"asked": 1, "in_force": 1, "reason": None}
    assert found["settings"]["load-mode"]["in_force"] == "mmap"
    assert found["settings"]["ctx-size"]["in_force"] == 512
    assert found["n_tokens"] <= 24
    assert found["versions"]["kernel"] == os.uname().release
    assert found["memory"]["model"]["file_bytes"] == os.path.getsize(str(model_path))


def test_times_add_up_to_the_total(llamactl: Run, model_path: object) -> None:
    times = document(llamactl, "-n", "16", "-t", "1", "--ignore-eos", "Hello")["timings"]
    parts = (
        "load_ns context_ns template_ns tokenize_ns prefill_ns decode_ns sampling_ns detokenize_ns output_ns "
        "python_ns unaccounted_ns"
    )
    assert sum(times[part] for part in parts.split()) == times["total_ns"]
    assert times["unaccounted_ns"] < times["total_ns"] / 10
    per_token = times["per_token"]
    assert 0 < per_token["p50_ns"] <= per_token["p95_ns"] <= per_token["p99_ns"] <= per_token["max_ns"]
    assert times["time_to_first_token_ns"] >= times["prefill_ns"]


def test_without_tokens_there_are_no_figures(llamactl: Run, model_path: object) -> None:
    found = document(llamactl, "-n", "0", "Hello")
    assert (found["text"], found["n_tokens"], found["finish_reason"]) == ("", 0, "length")
    assert found["timings"]["time_to_first_token_ns"] is None
    assert found["timings"]["tokens_per_second"] is None
    assert set(found["timings"]["per_token"].values()) == {None}


def test_one_token_has_no_gap(llamactl: Run, model_path: object) -> None:
    found = document(llamactl, "-n", "1", "--raw", "Hello")
    assert found["n_tokens"] == 1
    assert found["timings"]["template_ns"] is None
    assert found["timings"]["per_token"]["p50_ns"] is None


def test_the_stream_tells_the_same_as_the_document(llamactl: Run, model_path: object) -> None:
    arguments = ("-n", "12", "-t", "1", "Say hello.")
    whole = document(llamactl, *arguments)
    stream = events(llamactl("run", "--jsonl", *SHORT, *arguments).stdout)
    assert [one["event"] for one in stream][0] == "ready"
    assert {one["event"] for one in stream[1:-1]} == {"text"}
    assert "".join(one["text"] for one in stream if one["event"] == "text") == whole["text"]
    end = stream[-1]
    assert end["event"] == "end"
    for name in ("finish_reason", "n_tokens", "n_prompt_tokens", "model", "samplers", "versions"):
        assert end[name] == whole[name]
    assert stream[0]["n_prompt_tokens"] == whole["n_prompt_tokens"]


def test_warnings_are_events_and_in_the_document(llamactl: Run, model_path: object) -> None:
    arguments = ("-n", "1", "-t", "64", "--raw", "Hello")
    stream = events(llamactl("run", "--jsonl", *SHORT, *arguments).stdout)
    warning = next(one for one in stream if one["event"] == "warning")
    assert "64 threads on a budget of" in warning["message"]
    assert warning["message"] in stream[-1]["warnings"]


def test_sampling_is_named_with_its_seed(llamactl: Run, model_path: object) -> None:
    result = llamactl("run", "--json", "-c", "256", "-n", "2", "--seed", "7", "--raw", "Hello")
    found = check(json.loads(result.stdout), "run")
    assert found["seed"] == 7
    assert found["samplers"] == ["top-k", "top-p", "min-p", "temp-ext", "dist"]
    random = [document(llamactl, "-n", "1", "--temp", "0.8", "--raw", "Hello")["seed"] for _ in range(2)]
    assert random[0] != random[1]


def test_json_and_jsonl_exclude_each_other(llamactl: Run) -> None:
    result = llamactl("run", "--json", "--jsonl", "Hello")
    assert (result.returncode, result.stdout) == (2, "")
    assert "exclude each other" in result.stderr
