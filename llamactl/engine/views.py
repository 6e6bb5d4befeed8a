"""What llama.cpp hands out, as read-only views (PEP 3118) that end with the next decode.

The memory belongs to the context and is written again by the next decode. A view notices: its own
methods, the memoryview and the numpy array it gave refuse from then on.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from llamactl.engine.native import ffi
from llamactl.errors import LlamactlError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class StaleViewError(LlamactlError, BufferError):
    """The memory behind a view was written again by a later decode, or freed."""


def _keep(owner: object, pointer: object) -> None:
    """Hold a reference to the owner for as long as C data that points into it lives."""


class Epoch:
    """Counts the decodes of a context; hands out views and ends them all at once."""

    def __init__(self) -> None:
        self.number = 0
        self._lent: list[tuple[Any, weakref.ref[Any]]] = []

    def lend(self, buffer: Any) -> memoryview:
        """Return a read-only memoryview of floats that :meth:`advance` releases."""
        view: Any = memoryview(buffer).cast("B").cast("f").toreadonly()
        self._lent.append((view, weakref.ref(buffer)))
        lent: memoryview = view
        return lent

    def advance(self) -> None:
        """End all views.

        Raises:
            StaleViewError: Something made from a memoryview is still in use (``numpy.frombuffer``, a slice):
                the memory must not change under it.
        """
        while self._lent:
            view, buffer = self._lent[-1]
            with suppress(BufferError):
                view.release()
            # A memoryview can be released while others share its buffer; the buffer then stays alive.
            if buffer() is not None:
                raise StaleViewError(
                    "a buffer taken from a memoryview of the last decode is still in use",
                    "Drop it, copy it, or take it with .numpy(), before the next decode.",
                )
            self._lent.pop()
        self.number += 1


class FloatView(Sequence[float]):
    """A row of float32 in the engine's memory: logits or an embedding.

    Index it, iterate it, give it to ``numpy.asarray``; or take :meth:`memoryview` or :meth:`numpy`.
    Nothing is copied. After the next decode of its context every use raises :class:`StaleViewError`
    (a memoryview raises ``ValueError``, as released ones do). What was made from a memoryview and is still
    in use stops the next decode. Only ``numpy.asarray(array)`` and ``numpy.array(array)`` can't notice:
    numpy takes the memory of an array without asking it.

    Args:
        pointer: ``float *``.
        length: Number of floats.
        epoch: The counter of the context that owns the memory.
        owner: That context; any buffer taken from the view keeps it alive.
    """

    def __init__(self, pointer: Any, length: int, epoch: Epoch, owner: object) -> None:
        self._pointer = ffi.gc(pointer, partial(_keep, owner))
        self._length = length
        self._epoch = epoch
        self._number = epoch.number

    @property
    def stale(self) -> bool:
        """Whether a later decode ended it."""
        return self._number != self._epoch.number

    @property
    def address(self) -> int:
        """Where the engine has the floats."""
        self.check()
        return int(ffi.cast("uintptr_t", self._pointer))

    def check(self) -> None:
        """Raise :class:`StaleViewError` if a later decode ended it."""
        if self.stale:
            raise StaleViewError(
                "this view ended with a later decode", "Copy what you need before decoding again."
            )

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        self.check()
        if isinstance(index, slice):
            return [self._pointer[i] for i in range(*index.indices(self._length))]
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError(f"index {index} is outside of {self._length} floats")
        return float(self._pointer[position])

    def __iter__(self) -> Iterator[float]:
        for index in range(self._length):
            yield self[index]

    def __repr__(self) -> str:
        return f"<FloatView of {self._length} floats{', stale' if self.stale else ''}>"

    def _buffer(self) -> Any:
        self.check()
        return ffi.buffer(self._pointer, self._length * 4)

    def memoryview(self) -> memoryview:
        """Return a read-only memoryview of format ``f``, which the next decode releases."""
        return self._epoch.lend(self._buffer())

    def numpy(self) -> npt.NDArray[np.float32]:
        """Return a read-only array of shape ``(len(self),)``, which refuses use after the next decode."""
        from llamactl.engine.numpy_view import guarded_array

        return guarded_array(self._buffer(), self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = self.numpy()
        if dtype is not None and dtype != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array
