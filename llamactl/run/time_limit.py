"""A clock for Python code that comes from a file and may never end, such as a chat template."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

from llamactl.engine import guard

_LOOK_EVERY_S = 0.1


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End what runs inside the block once its time is over, or at Ctrl-C.

    Only Python code can be ended so, between two of its instructions. In another thread than the main one,
    and where the program uses SIGALRM itself, there is no limit.

    Raises:
        TimeoutError: It took longer.
        KeyboardInterrupt: SIGINT came inside :func:`llamactl.engine.guard.interruptible`.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    end = monotonic() + seconds

    def look(_number: int, _frame: FrameType | None) -> None:
        if guard.interrupted():
            raise KeyboardInterrupt
        if monotonic() >= end:
            raise TimeoutError(f"it takes more than {seconds:g} s")

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY_S, _LOOK_EVERY_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
