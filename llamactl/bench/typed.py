"""Does a value from a JSON file have the type that a dataclass declares? A damaged file must not pass a check."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def made(kind: type[T], value: Any) -> T:
    """Return a dataclass of plain values from a JSON object; other keys are passed over.

    Raises:
        TypeError: It isn't an object, or a value has another type.
        KeyError: A field isn't there.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{kind.__name__} isn't an object")
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in names:
        expect(value[name], hints[name], name)
    return kind(**{name: value[name] for name in names})


def expect(value: Any, hint: Any, name: str) -> None:
    """Raise :class:`TypeError` unless a value fits ``str``, ``int``, ``float``, ``dict``, or a union of such."""
    if not _fits(value, hint):
        raise TypeError(f"{name} is {str(value)[:40]!r}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in {Union, types.UnionType}:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is dict:
        of_keys, of_values = get_args(hint)
        return isinstance(value, dict) and all(
            _fits(key, of_keys) and _fits(one, of_values) for key, one in value.items()
        )
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        # True is an int to Python, but not to JSON.
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
