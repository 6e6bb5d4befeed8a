"""Ctrl-C while breakpoints are taken out: they are taken out all the same, then it counts."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace

import pytest

from llamactl.trace.record.calls.breakpoint_source import BreakpointSource
from llamactl.trace.record.calls.end_guard import EndGuard
from llamactl.trace.record.signals_held import SignalsHeld


def test_a_signal_waits_and_is_answered_by_the_handler_of_before() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), SignalsHeld():
        signal.raise_signal(signal.SIGINT)
        done.append("all")
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalsHeld():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_holds_nothing() -> None:
    seen: list[object] = []

    def look() -> None:
        with SignalsHeld():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_breakpoints_are_taken_out_before_an_interrupt_counts() -> None:
    """It interrupted the wait for the tracer's thread: breakpoints stayed, and the program died with SIGTRAP."""
    taken_out: list[bool] = []

    def take_out() -> None:
        signal.raise_signal(signal.SIGINT)
        taken_out.append(True)

    source = BreakpointSource.__new__(BreakpointSource)
    source._engine = SimpleNamespace(close=take_out)  # type: ignore[assignment]
    source._guard = EndGuard(source.close)
    with pytest.raises(KeyboardInterrupt):
        source.close()
    source._guard.remove()
    assert taken_out == [True]
