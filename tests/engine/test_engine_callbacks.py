"""Exceptions in callbacks come out of the call that made them; the engine's log goes to logging only."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from support import Run

from llamactl.engine import Context, DecodeAbortedError, Model
from llamactl.errors import LlamactlError


class OwnError(Exception):
    """Raised by the callbacks of these tests."""


def test_progress_goes_from_nothing_to_all(model_path: Path) -> None:
    shares: list[float] = []
    with Model(model_path, progress=shares.append):
        pass
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) > 2


def test_progress_that_raises(model_path: Path) -> None:
    calls = []

    def progress(share: float) -> None:
        calls.append(share)
        raise OwnError(str(share))

    with pytest.raises(OwnError):
        Model(model_path, progress=progress)
    assert len(calls) == 1, "it isn't called again"


def test_progress_that_says_no(model_path: Path) -> None:
    with pytest.raises(LlamactlError, match="can't load"):
        Model(model_path, progress=lambda share: False)


def test_keyboard_interrupt_in_progress(model_path: Path) -> None:
    def progress(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Model(model_path, progress=progress)


def test_abort_that_raises(context: Context) -> None:
    def abort() -> None:
        raise OwnError

    context.set_abort(abort)
    with pytest.raises(OwnError):
        context.decode_tokens([17, 18, 19])
    context.set_abort(None)
    context.kv.clear()
    context.decode_token(17)
    assert len(context.logits()) == 49152


def test_abort_stops_a_decode(context: Context) -> None:
    calls = 0

    def abort() -> bool:
        nonlocal calls
        calls += 1
        return calls > 2

    context.set_abort(abort)
    with pytest.raises(DecodeAbortedError, match="stopped"):
        context.decode_tokens([17] * 64)
    assert calls == 3, "not asked again once it said yes"


def test_abort_that_says_no_changes_nothing(context: Context) -> None:
    calls = []
    context.set_abort(lambda: calls.append(1))
    context.decode_tokens([17, 18])
    assert calls
    assert context.kv.last() == 1


def test_the_log_goes_to_logging(
    model_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="llamactl.engine"), Model(model_path):
        pass
    assert any("llama_model_loader" in record.getMessage() for record in caplog.records)
    assert {record.name for record in caplog.records} == {"llamactl.engine"}
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


LOUD = """
import sys
from llamactl.engine import *
from llamactl.engine.library import set_log_level
set_log_level(True)
try:
    Model("/does/not/exist")
except Exception:
    pass
with Model(sys.argv[1]) as model, Context(model, ContextParameters(n_ctx=256)) as context:
    try:
        context.logits(99)
    except Exception:
        pass
    try:
        Sampler(model, SamplingParameters(grammar="root ::= ("))
    except Exception as error:
        assert "expecting ')'" in str(error), error
    context.decode_tokens([1, 2, 3])
system_info(); devices()
"""


def test_nothing_of_the_engine_reaches_the_descriptors(python: Run, model_path: Path) -> None:
    result = python(LOUD, str(model_path))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
