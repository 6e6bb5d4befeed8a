"""For programs, not libraries: end with one line when the engine crashes, and stop at once on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from llamactl.engine.native import lib


def install(program: str, exit_code: int) -> None:
    """From now on an abort, an uncaught C++ exception or a fault prints one line and exits.

    ggml prints a backtrace and dumps core otherwise. Python's own buffers are not flushed then: write
    results unbuffered.
    """
    lib.llamactl_guard_install(program.encode(), exit_code)


@contextmanager
def advising(remedy: str) -> Iterator[None]:
    """Have that line end with ``remedy`` if it comes inside the block."""
    lib.llamactl_guard_set_suffix(remedy.encode())
    try:
        yield
    finally:
        lib.llamactl_guard_set_suffix(b"")


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGINT raise a flag at once instead of ``KeyboardInterrupt``; the second one interrupts as usual.

    A context that watches the flag (:meth:`Context.abort_on_interrupt`) stops in the middle of a long
    prompt, where Python's own handler would have to wait for C to return. Main thread only.
    """
    seen = 0

    def count(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, count)
    lib.llamactl_interrupt_install()
    try:
        yield
    finally:
        lib.llamactl_interrupt_remove()
        signal.signal(signal.SIGINT, before)


def interrupt_flag() -> Any:
    """Return ``const uint8_t *``: not 0 once SIGINT came inside :func:`interruptible`."""
    return lib.llamactl_interrupt_flag()


def interrupted() -> bool:
    """Tell whether SIGINT came inside :func:`interruptible`."""
    return bool(lib.llamactl_interrupted())
