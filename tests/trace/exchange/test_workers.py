"""Workers in a trace: what was sent to each and came back, against what each worker itself saw."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import clean_environment
from workers import running_worker, seen_by_worker

from llamactl.render.document import schema
from llamactl.render.trace.report import report_text
from llamactl.trace.capture.functions import Function, parse_keeps
from llamactl.trace.capture.reader import Capture
from llamactl.trace.capture.record import Kind
from llamactl.trace.mechanisms.report import analyse

Build = Callable[..., Capture]
ADDRESS = bytes.fromhex("0200c3820a000002") + bytes(8)
"""``struct sockaddr_in`` of 10.0.0.2:50050."""


def llamactl(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "llamactl", *words],
        env=clean_environment(), capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(not shutil.which("strace"), reason="strace isn't installed")
def test_two_workers_of_a_real_run(model_file: str, tmp_path: Path) -> None:
    logs, capture = [tmp_path / "first", tmp_path / "second"], str(tmp_path / "c.capture")
    run = (sys.executable, "-m", "llamactl", "run", "-m", model_file, "-t", "1", "-n", "6", "--temp", "0",
           "--ignore-eos", "-q")  # fmt: skip
    with running_worker(logs[0]) as (first, _), running_worker(logs[1]) as (second, _):
        llamactl("trace", "-o", capture, "--", *run, "--rpc", f"{first},{second}", "Hello")
    llamactl("trace", "--from", capture, "--format", "json", "--report", str(tmp_path / "r.json"))
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in found["workers"]}
    jsonschema.Draft202012Validator(schema("trace")).validate(found)
    assert set(rows) == {first, second}
    for endpoint, log in ((first, logs[0]), (second, logs[1])):
        row, seen = rows[endpoint], seen_by_worker(log)
        assert (row["sent_bytes"], row["received_bytes"]) == (seen.received_bytes, seen.sent_bytes)
        assert row["round_trips"] == seen.answers
        functions = {one["name"]: one for one in row["functions"]}
        for name in ("sent_bytes", "received_bytes", "round_trips", "waited_ns"):
            assert sum(one[name] for one in functions.values()) == row[name]
        # The weights go there while loading, and nothing comes back but short answers.
        assert functions["llama_model_load_from_file"]["sent_bytes"] > 20 << 20
        assert functions["llama_decode"]["sent_bytes"] > 0
        assert row["token"]["round_trips"] == 1
    assert found["exchange"]["per_token"]["tokens"] == rows[first]["token"]["tokens"] == 4
    # One of them computes the last layer and sends a row of logits back.
    assert max(row["token"]["received_bytes"] for row in rows.values()) == 49152 * 4 + 8
    (facts,) = [one["text"] for one in found["mechanisms"] if one["name"] == "Workers"]
    assert "a token: " in "\n".join(facts)


THREAD = 1005
"""The engine's own thread that speaks with a worker."""
KEEPS = {"llama_model_load_from_file": "path:s +", "llama_decode": "context:p n_tokens:i tokens:p +"}


def functions() -> dict[str, Any]:
    """What the recorder says of the functions that are called."""
    table = []
    for name, text in KEEPS.items():
        args, kept = parse_keeps(text)
        row = Function(name, "/p/_engine.abi3.so", "/l/libllama.so", "plt", args, kept, "i")
        table.append(row.to_metadata())
    return {"functions": list(KEEPS), "function_table": table, "agent": {"python": "3.11.7"}}


def connect(out: Any, at: float, fd: int, address: bytes) -> None:
    out.call("socket", at, 2, 1, 0, ret=fd)
    out.call("connect", at + 20, fd, 0x1000, 16, text=address)


def command(out: Any, at: float, *, request: int, answer: int = 0, fd: int = 5) -> None:
    """One command as ggml-rpc sends it; reading an answer takes 7 µs for each of its two parts."""
    for index, size in enumerate((1, 8, request)):
        out.call("sendto", at + 20 * index, fd, 0x1000, size, ret=size, took_us=3, tid=THREAD)
    for index, size in enumerate((8, answer) if answer else ()):
        out.call("recvfrom", at + 60 + 20 * index, fd, 0x1000, size, ret=size, took_us=7, tid=THREAD)


def generate(out: Any) -> None:
    connect(out, 100, 5, ADDRESS)
    out.add(Kind.CALL, 1000, nr=0, duration=5_000_000, text=b"/m/tiny.gguf")
    command(out, 1100, request=24, answer=28)
    command(out, 1300, request=1_000_000)
    for token in range(4):
        at = 10_000 + 1000 * token
        out.add(Kind.CALL, at, nr=1, args=(1, 1, 0), duration=500_000)
        command(out, at + 100, request=300)
        command(out, at + 200, request=40, answer=4000)


def test_what_belongs_to_which_call_and_token(build: Build) -> None:
    (row,) = analyse(build(generate, **functions())).workers
    assert (row.name, row.count, row.round_trips) == (b"10.0.0.2:50050", 8 + 4 * 8, 5)
    load, decode = row.functions
    assert (load.name, load.sent_bytes, load.received_bytes) == ("llama_model_load_from_file", 1_000_042, 36)
    assert (load.round_trips, load.waited_ns) == (1, 14_000)
    assert (decode.name, decode.sent_bytes, decode.received_bytes) == ("llama_decode", 4 * 358, 4 * 4008)
    # The last token isn't counted: nobody knows where it ends.
    assert row.token is not None and row.token.tokens == 3
    assert (row.token.sent_bytes, row.token.received_bytes, row.token.round_trips) == (358, 4008, 1)
    assert row.token.waited_ns == 14_000
    text = " ".join(report_text(analyse(build(generate, **functions()))).split())
    assert "10.0.0.2:50050: 978 KiB sent, 15.7 KiB received, 5" in text
    assert "a token: 358 B sent, 3.91 KiB received, 1 round trip," in text


def test_other_connections_are_no_workers(build: Build) -> None:
    def fill(out: Any) -> None:
        connect(out, 100, 5, ADDRESS)
        for at in (300, 400):
            out.call("sendto", at, 5, 0x1000, 500, ret=500)
            out.call("recvfrom", at + 50, 5, 0x1000, 4096, ret=1000)
        # One byte alone, as of a telnet, is no command either.
        connect(out, 600, 6, ADDRESS.replace(b"\x02\0\0\0\0", b"\x03\0\0\0\0"))
        out.call("sendto", 700, 6, 0x1000, 1, ret=1)
        out.call("sendto", 750, 6, 0x1000, 5, ret=5)

    report = analyse(build(fill))
    assert report.workers == []
    assert "Workers" not in report_text(report)


def test_without_calls_the_traffic_stays(build: Build) -> None:
    def fill(out: Any) -> None:
        connect(out, 100, 5, ADDRESS)
        command(out, 500, request=24, answer=28)

    (row,) = analyse(build(fill)).workers
    assert (row.sent_bytes, row.received_bytes, row.functions, row.token) == (33, 36, (), None)
