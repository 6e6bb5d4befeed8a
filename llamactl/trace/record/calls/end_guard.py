"""Whatever ends llamactl, short of SIGKILL, takes the breakpoints out before."""

from __future__ import annotations

import atexit
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLY = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class EndGuard:
    """Calls ``close`` when the interpreter ends, also by a signal that would have ended it at once.

    Args:
        close: May be called more than once.
    """

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close
        self._before: dict[int, Any] = {}
        atexit.register(close)
        if threading.current_thread() is threading.main_thread():
            for number in DEADLY:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._before[number] = signal.signal(number, _end)

    def remove(self) -> None:
        """Put the signals back; nothing needs guarding any more."""
        atexit.unregister(self._close)
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) is _end:
                    signal.signal(number, handler)
        self._before = {}


def _end(number: int, frame: object) -> None:  # noqa: ARG001
    raise SystemExit(128 + number)
