"""Ctrl-C, a reader that goes away, a terminal: what was written stays, and the status says what happened."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import clean_environment

from llamactl.render.document import schema

COMMAND = [sys.executable, "-m", "llamactl", "run", "-t", "1", "--temp", "0", "--raw", "--ignore-eos"]
LONG = "a b " * 3500


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a run; it is ended with the block at the latest."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = subprocess.Popen([*COMMAND, *arguments], env=clean_environment(), text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C and return what comes after."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return out, err


def read_events(process: subprocess.Popen[str], until: str) -> list[Any]:
    """Read events up to the first of a kind."""
    found: list[Any] = []
    assert process.stdout is not None
    for line in process.stdout:
        found.append(json.loads(line))
        if found[-1]["event"] == until:
            break
    return found


def test_while_generating_text(model_path: Path) -> None:
    with started("-c", "8192", "Once upon a time") as process:
        assert process.stdout is not None
        first = process.stdout.read(20)
        out, err = interrupt(process)
        assert process.returncode == 130
    assert len(first) == 20
    assert out.endswith("\n")
    assert err.count("\n") == 1
    assert err.rstrip().endswith("interrupted")
    assert "tok/s" in err


def test_while_generating_events(model_path: Path) -> None:
    with started("--jsonl", "-q", "-c", "8192", "Once upon a time") as process:
        before = read_events(process, "text")
        out, err = interrupt(process)
        assert (process.returncode, err) == (130, "")
    after = [json.loads(line) for line in out.splitlines()]
    end = after[-1]
    jsonschema.validate(end, schema("run-event"))
    assert (end["event"], end["finish_reason"]) == ("end", "interrupted")
    texts = [one["text"] for one in before + after if one["event"] == "text"]
    assert 0 < len(texts) <= end["n_tokens"]
    assert end["timings"]["time_to_first_token_ns"] > 0, "the step that was interrupted counts, too"
    assert end["timings"]["prefill_ns"] > 0


def test_while_computing_the_prompt(model_path: Path) -> None:
    """The prompt takes many seconds here: Ctrl-C ends it in the middle of a decode."""
    with started("--jsonl", "-c", "8192", LONG) as process:
        read_events(process, "ready")
        out, err = interrupt(process)
        assert process.returncode == 130
    end = json.loads(out.splitlines()[-1])
    jsonschema.validate(end, schema("run-event"))
    assert (end["finish_reason"], end["n_tokens"]) == ("interrupted", 0)
    assert end["timings"]["time_to_first_token_ns"] is None
    assert (end["timings"]["prefill_ns"], end["timings"]["prompt_tokens_per_second"]) == (None, None)
    assert "tok unfinished | 0 tok | first token unknown" in err
    assert "interrupted" in err


def test_the_document_is_whole_after_ctrl_c(model_path: Path) -> None:
    """Nothing shows on stdout until the end: the engine's log tells that the model is loaded."""
    with started("--json", "-v", "-c", "8192", LONG) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "n_ctx_seq" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.stdout is not None
        found = json.loads(process.stdout.read())
        assert process.wait(60) == 130
    jsonschema.validate(found, schema("run"))
    assert (found["finish_reason"], found["text"]) == ("interrupted", "")


def test_an_ignored_interrupt_stays_ignored(model_path: Path) -> None:
    """As under ``nohup``-like shells (``cmd &`` in a script): SIGINT isn't ours then."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with started("-q", "-c", "256", "-n", "8", "Once upon", preexec_fn=ignore) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    assert len(first + out) > 8


@pytest.mark.parametrize("form", [(), ("--jsonl",)])
def test_a_reader_that_goes_away(model_path: Path, form: tuple[str, ...]) -> None:
    with started(*form, "-c", "8192", "Once upon a time") as process:
        assert process.stdout is not None
        process.stdout.read(5)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert process.wait(60) == 141
    assert "Traceback" not in err
    assert "Broken" not in err


def test_stdout_that_is_closed_or_full(model_path: Path) -> None:
    base = shlex.join([*COMMAND, "-q", "-c", "256", "-n", "4", "Hi"])
    closed = subprocess.run(
        ["sh", "-c", f"{base} >&-"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert "Traceback" not in closed.stderr
    full = subprocess.run(
        ["sh", "-c", f"{base} > /dev/full"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 125
    assert full.stderr.count("\n") == 1
    assert "no space left" in full.stderr


def on_terminal(*arguments: str) -> tuple[int, str]:
    """Run with a terminal as stdin, stdout and stderr; return the status and what it showed."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=clean_environment(), stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown = b""
    try:
        while block := os.read(leader, 4096):
            shown += block
    except OSError:  # the terminal's way to say that nobody writes any more
        pass
    os.close(leader)
    return process.wait(60), shown.decode("utf-8", "replace")


def test_a_terminal_sees_text_and_figures(model_path: Path) -> None:
    status, shown = on_terminal("-c", "256", "-n", "4", "Once upon a")
    assert status == 0
    assert "tok/s" in shown
    assert "\x1b" not in shown, "a quick load draws no bar"


def test_no_prompt_on_a_terminal_does_not_wait_for_one(model_path: Path) -> None:
    status, shown = on_terminal()
    assert status == 2
    assert "there is no prompt" in shown
