"""A numpy array over the engine's memory that checks, at each use, that the memory is still its own."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Checked(Protocol):
    """What knows whether memory is still its own."""

    def check(self) -> None:
        """Raise where it isn't."""
        ...

    @property
    def stale(self) -> bool:
        """Whether it isn't."""
        ...


class GuardedArray(np.ndarray[Any, np.dtype[np.float32]]):
    """``numpy.ndarray`` whose indexing, ufuncs and array functions first ask the view behind it.

    Results that own their memory come out as plain arrays.
    """

    _view: Checked | None = None

    def __array_finalize__(self, source: Any) -> None:
        self._view = getattr(source, "_view", None)

    def _check(self) -> None:
        if self._view is not None:
            self._view.check()

    def __getitem__(self, index: Any) -> Any:
        self._check()
        return super().__getitem__(index)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain_options = {name: _plain(one) for name, one in options.items()}
        return getattr(ufunc, method)(*(_plain(one) for one in inputs), **plain_options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        self._check()
        return function(*(_plain(one) for one in args), **{name: _plain(one) for name, one in kwargs.items()})

    def __repr__(self) -> str:
        return "<array, ended by a later decode>" if self._view and self._view.stale else repr(_plain(self))

    __str__ = __repr__


def _checked(name: str) -> Any:
    base = getattr(np.ndarray, name)

    def method(self: GuardedArray, *args: Any, **kwargs: Any) -> Any:
        return base(_plain(self), *args, **kwargs)

    method.__name__ = name
    method.__doc__ = base.__doc__
    return method


for _name in (
    "all any argmax argmin argpartition argsort astype clip copy cumsum dot item max mean min nonzero prod "
    "ptp round searchsorted std sum tobytes tofile tolist var __iter__ __copy__ __deepcopy__"
).split():
    if hasattr(np.ndarray, _name):
        setattr(GuardedArray, _name, _checked(_name))


def _plain(value: Any) -> Any:
    if isinstance(value, GuardedArray):
        value._check()
        return value.view(np.ndarray)
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(one) for one in value)
    return value


def guarded_array(buffer: Any, view: Checked) -> GuardedArray:
    """Return a read-only float32 array over ``buffer`` that refuses use once ``view`` is stale."""
    # A read-only buffer: nobody can make the array writeable again.
    array = np.frombuffer(memoryview(buffer).toreadonly(), dtype=np.float32).view(GuardedArray)
    array._view = view
    return array
