"""One C object: freed once, in the right order, also under exceptions and at exit."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from llamactl.errors import LlamactlError


class Handle:
    """Owns a pointer on behalf of ``owner`` and frees it when the owner goes, at exit, or on ``close``.

    ``keep`` lists the objects that the C object points into. They stay alive until it is freed, whatever
    order the garbage collector chooses: a context keeps its model.
    """

    __slots__ = ("_finalizer", "_kind", "_pointer")

    def __init__(
        self,
        owner: object,
        kind: str,
        pointer: object,
        free: Callable[[Any], object],
        keep: tuple[object, ...] = (),
    ) -> None:
        self._kind = kind
        self._pointer = pointer
        self._finalizer = weakref.finalize(owner, _release, free, pointer, keep)

    @property
    def pointer(self) -> Any:
        """The C pointer.

        Raises:
            LlamactlError: It was freed.
        """
        self.check()
        return self._pointer

    def check(self) -> None:
        """Raise :class:`LlamactlError` if it was freed."""
        if not self._finalizer.alive:
            raise LlamactlError(f"this {self._kind} is closed")

    @property
    def closed(self) -> bool:
        """Whether it was freed."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Free it now; a second time does nothing."""
        self._finalizer()


def _release(free: Callable[[Any], object], pointer: object, keep: tuple[object, ...]) -> None:
    del keep
    free(pointer)
