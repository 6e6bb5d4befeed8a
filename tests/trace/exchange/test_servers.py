"""Servers that nobody here wrote, with eight clients at a time."""

from __future__ import annotations

import json
import subprocess

import pytest
from exchange_support import OWN_MODULES, PROGRAMS, Trace, environment

CLIENTS, COUNT = 8, 6


def needs(python: str, *modules: str) -> None:
    """Skip where that Python lacks a module."""
    code = f"import importlib.util as u; print([m for m in {modules!r} if u.find_spec(m) is None])"
    done = subprocess.run(
        [*OWN_MODULES, python, "-P", "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    if done.stdout.strip() != "[]":
        pytest.skip(f"not installed beside llama-cpp-python: {done.stdout.strip()}")


def test_llama_cpp_pythons_server(trace: Trace, peer_python: str, model_file: str) -> None:
    needs(peer_python, "uvicorn", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings")
    program = str(PROGRAMS / "exchange_server.py")
    traced = trace(peer_python, program, model_file, str(CLIENTS), str(COUNT))
    said = json.loads(traced.out)
    assert said == {"answers": CLIENTS, "tokens": CLIENTS * COUNT}
    functions = traced.functions()
    assert functions["llama_decode"]["count"] == said["tokens"], (
        "each token's decode but the last, and the prompt's"
    )
    assert functions["llama_sampler_sample"]["count"] == said["tokens"]
    assert f"{CLIENTS} prompts, {CLIENTS * (COUNT - 1)} tokens" in traced.report
    facts = traced.json["exchange"]
    assert facts["per_token"]["tokens"] == CLIENTS * (COUNT - 2), "of each answer the last one has no end"
    assert (facts["gil"]["verdict"], facts["gil"]["released_computing"]) == ("released", said["tokens"])
    work = {row["name"]: row for row in traced.json["work"]}
    waiting = sum(row["total_ns"] for row in traced.json["calls"] if row["name"] == "epoll_wait")
    assert waiting > 0
    assert work["llama_decode"]["system_ns"] < functions["llama_decode"]["total_ns"], (
        "the clients' waits aren't its"
    )


def test_xllamacpps_server(trace: Trace, peer_python: str, model_file: str) -> None:
    needs(peer_python, "xllamacpp")
    program = str(PROGRAMS / "exchange_xllamacpp.py")
    traced = trace(peer_python, program, model_file, str(CLIENTS), str(COUNT))
    assert json.loads(traced.out) == {"answers": CLIENTS}
    facts = traced.json["exchange"]
    assert facts["bindings"][0]["kind"] == "Cython"
    assert facts["bindings"][0]["inside"]
    assert facts["gil"]["verdict"] == "released"
    assert 1 <= facts["per_token"]["batch_tokens"] <= 4, "as many as its four slots"
    functions = traced.functions()
    assert functions["llama_tokenize"]["count"] == CLIENTS
    assert functions["llama_vocab_is_eog"]["count"] > 49_152, "it asks for each token of the vocabulary"
    assert "calls inside it" in traced.report
    assert "binding-overhead" not in traced.findings()
    assert "logits-stale" not in traced.findings(), "what llama.cpp writes inside the extension is no read"
    assert traced.json["cost"]["complete"], "the ring holds a server's burst of calls"
