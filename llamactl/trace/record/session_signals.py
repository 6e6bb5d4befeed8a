"""Signals to llamactl while it records: taken here, and passed on to the traced program."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from llamactl.errors import LlamactlError
from llamactl.trace.record.session_parts import Parts

INTERRUPTS_TO_KILL = 2


class EndedEarlyError(LlamactlError):
    """llamactl got a signal before anything was started or attached to.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name} before recording began")
        self.exit_code = 128 + number


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


class Answers:
    """What a session does about a signal to llamactl.

    Until the program is started or attached to, signals are only remembered: what would be ended isn't there
    yet, and what is half done must be undone in order.

    Args:
        parts: An answer that fails costs a note.
        started: Whether llamactl started the program: then it gets the signal, and is recorded to its end.
        pid: Returns the program's process.
        stop: Ends the recording of an attached program; gets the reason.
        kill: Ends the program that was started.
    """

    def __init__(
        self,
        parts: Parts,
        started: bool,
        pid: Callable[[], int],
        stop: Callable[[str], None],
        kill: Callable[[], None],
    ) -> None:
        self._parts, self._started = parts, started
        self._pid, self._stop, self._kill = pid, stop, kill
        self._begun = False
        self._early: list[int] = []
        self._interrupts = 0

    def take(self, number: int) -> None:
        """Take a signal; called between two bytecodes of the main thread."""
        if self._begun:
            self._parts.run("The answer to a signal", lambda: self._answer(number), None)
        else:
            self._early.append(number)

    def heed(self) -> None:
        """To be called just before the program is started or attached to.

        Raises:
            EndedEarlyError: A signal has come.
        """
        if self._early:
            raise EndedEarlyError(self._early[0])

    def begin(self) -> None:
        """The program is there: answer what came meanwhile, and from now on at once."""
        self._begun = True
        while self._early:
            self.take(self._early.pop(0))

    def _answer(self, number: int) -> None:
        if not self._started:
            self._stop("interrupt")
        elif number != signal.SIGINT:
            send(self._pid(), number)
        else:
            self._interrupts += 1
            if self._interrupts >= INTERRUPTS_TO_KILL:
                self._kill()
            elif not terminal_sends_it():
                send(self._pid(), number)


class OwnSignals:
    """While a recording runs, llamactl's own SIGINT, SIGTERM and SIGHUP are the session's business.

    One that was ignored when llamactl was started (``nohup``, a background job of a script) stays so, for the
    program, too: a handler would have the kernel reset it to the default there (execve(2)).

    Args:
        interrupt: Gets the number of each.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, interrupt: Callable[[int], None]) -> None:
        self._interrupt = interrupt
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in self.NUMBERS:
                if signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, lambda got, _: self._interrupt(got))

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
