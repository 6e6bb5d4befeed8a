"""Signals to llamactl while it records: taken here, and passed on to the traced program."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


def send(pid: int, number: int) -> None:
    """Send a signal to the program, if it is still there."""
    try:
        if pid > 0:
            os.kill(pid, number)
    except ProcessLookupError:
        return


def terminal_sends_it() -> bool:
    """Whether a Ctrl-C went to the program, too, because it is in the terminal's foreground with us."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


class OwnSignals:
    """While a recording runs, llamactl's own SIGINT and SIGTERM are the session's business.

    Args:
        interrupt: Gets the number of each.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, interrupt: Callable[[int], None]) -> None:
        self._interrupt = interrupt
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in self.NUMBERS:
                self._before[number] = signal.signal(number, lambda got, _: self._interrupt(got))

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
