"""C calls Python: an exception can't cross C, so it is kept, C is told to stop, and it is raised after."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from llamactl.engine.native import ffi, lib

if TYPE_CHECKING:
    from llamactl.engine._engine import CData


class Guarded:
    """A Python callback for the duration of a C call.

    Use as a context manager around the call: leaving it raises what the callback raised.

    Attributes:
        handle: What C gets as ``user_data``.
        failure: What the callback raised, if it did.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self.handle = ffi.new_handle(self)
        self.failure: BaseException | None = None

    def call(self, *arguments: object) -> object:
        """Return the callback's answer; ``None`` once it has raised."""
        if self.failure is not None:
            return None
        try:
            return self._function(*arguments)
        except BaseException as error:
            self.failure = error
            return None

    def raise_failure(self) -> None:
        """Raise what the callback raised, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def __enter__(self) -> Guarded:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raise_failure()


@ffi.def_extern(name="llamactl_py_progress")
def _on_progress(progress: float, user_data: CData) -> bool:
    guarded: Guarded = ffi.from_handle(user_data)
    return guarded.call(progress) is not False and guarded.failure is None


@ffi.def_extern(name="llamactl_py_abort")
def _on_abort(user_data: CData) -> bool:
    guarded: Guarded = ffi.from_handle(user_data)
    return bool(guarded.call()) or guarded.failure is not None


PROGRESS = lib.llamactl_py_progress
"""Loading goes on unless the callback returns ``False`` or raises."""
ABORT = lib.llamactl_py_abort
"""Computing stops when the callback returns something true or raises."""
