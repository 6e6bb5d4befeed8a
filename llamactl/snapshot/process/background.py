"""Read one section while another is read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Part = TypeVar("Part")


class Background(Generic[Part]):
    """A function that runs in a thread of its own from now on.

    Worth it where the kernel does most of the work: reading in C and from files leaves the GIL to others.
    """

    def __init__(self, read: Callable[[], Part]) -> None:
        self._read = read
        self._found: list[Part] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._read())
        except BaseException as error:
            self._error = error

    def result(self) -> Part:
        """Wait for the end and return what the function returned, or raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found[0]
