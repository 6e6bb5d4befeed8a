"""Marks by which a program that is being recorded says which phase of an inference it is in.

The recorder passes a pipe and names it in the environment; without that, a mark costs nothing.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "LLAMACTL_TRACE_MARKS"


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Mark the duration of the block as phase ``name`` (one word) of this thread."""
    fd = os.environ.get(VARIABLE, "")
    if not fd:
        yield
        return
    begin = time.monotonic_ns()
    try:
        yield
    finally:
        mark(int(fd), name, begin, time.monotonic_ns() - begin)


def mark(fd: int, name: str, start_ns: int, duration_ns: int) -> None:
    """Write one mark; a recorder that has gone, or is behind, is no reason for the program to fail."""
    line = f"{start_ns} {duration_ns} {threading.get_native_id()} {os.getpid()} {name}\n"
    try:
        os.write(fd, line.encode())
    except OSError:
        return
