"""Pass signals on to a traced program."""

from __future__ import annotations

import os


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
