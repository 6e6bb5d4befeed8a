"""Signals to llamactl, held while something of somebody's program is put back."""

from __future__ import annotations

import signal
import threading
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class SignalsHeld:
    """Inside of it a signal interrupts nothing; it is answered afterwards, by the handler that was there before.

    A KeyboardInterrupt between two of our steps would leave breakpoints in a program, which dies of them. What
    is ignored stays ignored. In another thread than the main one Python runs no handlers, so nothing is held.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._pending: list[int] = []

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                if signal.getsignal(number) not in {signal.SIG_IGN, None}:
                    self._before[number] = signal.signal(number, lambda got, _: self._pending.append(got))

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        while self._pending:
            signal.raise_signal(self._pending.pop(0))
