"""A chat template comes from a file: it may loop for ever, and must end all the same."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from llamactl.engine import guard
from llamactl.errors import UsageError
from llamactl.run import prompt
from llamactl.run.request import Request
from llamactl.run.time_limit import time_limit

# 10^15 rounds without a character of output.
ENDLESS = "{% for a in range(100000) %}{% for b in range(100000) %}{% for c in range(100000) %}" + (
    "{% endfor %}" * 3
)
REQUEST = Request(Path("model.gguf"), "Hello")
OFF = (0.0, 0.0)


@pytest.fixture(autouse=True)
def free_alarm() -> Iterator[None]:
    """Take SIGALRM from pytest-timeout, which has it in every test, and give it back."""
    handler, timer = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    assert signal.getitimer(signal.ITIMER_REAL) == OFF
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def model(template: str) -> Any:
    """Return what rendering takes of a model."""
    return SimpleNamespace(chat_template=template, vocabulary=SimpleNamespace(bos=None, eos=None))


def test_a_template_that_loops_in_silence_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "TEMPLATE_LIMIT_S", 0.3)
    begun = monotonic()
    with pytest.raises(UsageError, match=r"can't be rendered \(it takes more than 0.3 s\). Use --raw"):
        prompt.prompt_text(model(ENDLESS), REQUEST)
    assert 0.3 <= monotonic() - begun < 30
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_ctrl_c_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), guard.interruptible():
        signal.raise_signal(signal.SIGINT)
        prompt.prompt_text(model(ENDLESS), REQUEST)


def test_a_usual_template_is_not_touched() -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    assert prompt.prompt_text(model(template), REQUEST) == "Hello"
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_an_alarm_of_the_program_stays() -> None:
    def own(_number: int, _frame: object) -> None:
        """Do nothing."""

    before = signal.signal(signal.SIGALRM, own)
    try:
        with time_limit(0.0):
            assert signal.getsignal(signal.SIGALRM) is own
    finally:
        signal.signal(signal.SIGALRM, before)


def test_other_threads_have_no_clock() -> None:
    done: list[bool] = []

    def limited() -> None:
        with time_limit(0.0):
            done.append(True)

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert done == [True]
