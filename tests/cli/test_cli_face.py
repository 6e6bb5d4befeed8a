"""The face of a run on a terminal, with text that no model would write on demand."""

from __future__ import annotations

import io
import sys

import pytest

from llamactl.cli.run.answer_options import OutputOptions
from llamactl.cli.run.output import writer


class Terminal(io.StringIO):
    """A stream that says it is a terminal, or that it is none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        """Tell what the test wants."""
        return self.terminal


def shown(monkeypatch: pytest.MonkeyPatch, terminal: bool, text: str) -> str:
    """Return what stdout gets of a text, in UTF-8: its own encoding can't say it."""
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    writer(OutputOptions(quiet=True)).listener.on_text(text)
    return written.getvalue().decode()


def test_control_characters_are_stripped_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a\x1b]0;title\x07b\x9b2J\n\tc"
    assert shown(monkeypatch, True, text) == "a]0;titleb2J\n\tc"
    assert shown(monkeypatch, False, text) == text


@pytest.mark.parametrize(
    ("terminal", "quiet", "drawn"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_the_bar_is_drawn_for_slow_loads_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool, drawn: bool
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    stream = Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    progress = writer(OutputOptions(quiet=quiet)).listener.on_progress
    for share in (0.1, 0.5, 0.75, 1.0):
        progress(share)
    if not drawn:
        assert stream.getvalue() == ""
        return
    assert "Loading" in stream.getvalue()
    assert " 75%" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K"), "the bar is wiped away"
