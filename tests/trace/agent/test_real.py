"""The real llama.cpp, through llamactl's own CFFI module and through llama-cpp-python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_support import PROGRAMS, Traced, exchange_of, run_traced
from support import python_with_llama_cpp

import llamactl
from llamactl.trace.mechanisms.gil.gil import GilVerdict, gil_report
from llamactl.trace.mechanisms.interface.binding import BindingKind, bindings
from llamactl.trace.mechanisms.interface.crossings import per_token, tokens
from llamactl.trace.record.agent.library import agent_environment, find_agent
from llamactl.trace.record.agent.ring import Ring

PROGRAM = PROGRAMS / "agent_generate.py"
SOURCES = Path(llamactl.__file__).resolve().parents[1]
COUNT = 16
SECRETS = (b"The capital of France", b"Paris", b"United States")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCES), "LLAMA_CPP_LIB_PATH": str(find_agent().parent)}


def python_with(which: str) -> str:
    """Return a Python that has the binding: this one, or for llama-cpp-python the one a variable names."""
    return sys.executable if which == "engine" else python_with_llama_cpp()


@pytest.fixture(scope="module", params=["engine", "llama_cpp"])
def pair(request: pytest.FixtureRequest, model_file: str) -> tuple[str, dict[str, Any], Traced]:
    """The binding, what the program said without the agent, and the program with it."""
    command = [python_with(request.param), str(PROGRAM), request.param, model_file, str(COUNT)]
    plain = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return request.param, json.loads(plain.stdout), run_traced(*command, env=environment())


def test_the_text_is_the_same(pair: tuple[str, dict[str, Any], Traced]) -> None:
    _, plain, result = pair
    assert (result.returncode, result.err) == (0, "")
    assert json.loads(result.out) == plain


def test_calls_are_exact(pair: tuple[str, dict[str, Any], Traced]) -> None:
    which, plain, result = pair
    counts = result.counts()
    # llama.cpp's own sampler takes the logits itself and applies its chain to them.
    of_engine = {"llama_decode": COUNT, "llama_get_logits_ith": COUNT}
    expected = plain["counts"] if which == "llama_cpp" else of_engine
    assert {name: counts[name] for name in expected} == expected
    assert expected["llama_decode"] == COUNT
    assert result.losses.records == 0


def test_the_binding_and_the_gil(pair: tuple[str, dict[str, Any], Traced]) -> None:
    which, _, result = pair
    exchange = exchange_of(result)
    expected = {"engine": BindingKind.CFFI_API, "llama_cpp": BindingKind.CTYPES}[which]
    assert [binding.kind for binding in bindings(exchange)] == [expected]
    report = gil_report(exchange)
    assert report.verdict is GilVerdict.RELEASED
    assert (report.released_computing, report.held_computing) == (COUNT, 0)


def test_tokens_add_up(pair: tuple[str, dict[str, Any], Traced]) -> None:
    rows = tokens(exchange_of(pair[2]))
    assert len(rows) == COUNT - 2, "the first decode is the prompt's, the last one has no end"
    assert (rows.length_ns == rows.in_c_ns + rows.gil_wait_ns + rows.python_ns).all()
    assert (rows.decode_ns <= rows.in_c_ns).all()
    assert (rows.crossings >= 3).all()
    summary = per_token(rows)
    assert summary.in_c_us is not None
    assert summary.decode_us is not None
    assert summary.in_c_us >= summary.decode_us > 100


def test_prompts_and_answers_stay_out(pair: tuple[str, dict[str, Any], Traced], model_file: str) -> None:
    which, plain, result = pair
    assert "Paris" in plain["text"]
    assert (result.calls("llama_sampler_sample")["ret"] == 0).all(), "a sampled token is the answer"
    with Ring() as ring:
        command = [python_with(which), str(PROGRAM), which, model_file, "4"]
        subprocess.run(
            command,
            env=agent_environment(environment(), find_agent(), ring.address),
            capture_output=True,
            check=True,
        )
        content = os.pread(ring.fd, os.fstat(ring.fd).st_size, 0)
    assert b"llama_decode" in content
    assert [secret for secret in SECRETS if secret in content] == []
