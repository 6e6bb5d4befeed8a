"""Does a value from a JSON file have the type that is declared? A damaged file must not pass a check."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
LIMIT = 2**63


def made(kind: type[T], value: Any) -> T:
    """Return a dataclass from a JSON object, and those in its tuples; other keys are passed over.

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
    return kind(**{name: _built(value[name], hints[name]) for name in names})


def _built(value: Any, hint: Any) -> Any:
    """Return a value that fits as what is declared: JSON has lists and objects alone."""
    if get_origin(hint) is tuple:
        return tuple(_built(one, get_args(hint)[0]) for one in value)
    return made(hint, value) if isinstance(hint, type) and dataclasses.is_dataclass(hint) else value


def expect(value: Any, hint: Any, name: str) -> None:
    """Raise :class:`TypeError` unless a value fits.

    Args:
        value: From a JSON file.
        hint: ``str``, ``bool``, ``int`` (of 64 bits), ``float`` (finite), ``list[…]``, ``dict[str, …]``,
            ``tuple[…, ...]`` and dataclasses (as JSON has them: a list, an object), or a union of
            such. A dictionary of hints describes an object: keys that it hasn't are passed over, and so are those
            that aren't there.
        name: What to call the value.
    """
    if isinstance(hint, dict):
        expect(value, dict, name)
        for key in hint.keys() & value.keys():
            expect(value[key], hint[key], f"{name}.{key}" if name else key)
    elif not _fits(value, hint):
        raise TypeError(f"{name} is {str(value)[:40]!r}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in {Union, types.UnionType}:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is dict:
        of_keys, of_values = get_args(hint)
        return isinstance(value, dict) and all(
            _fits(key, of_keys) and _fits(one, of_values) for key, one in value.items()
        )
    if get_origin(hint) in {list, tuple}:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if dataclasses.is_dataclass(hint):
        return isinstance(value, dict)  # made() looks at its fields.
    if hint is int or (hint is float and isinstance(value, int)):
        # True is an int to Python, but not to JSON.
        return isinstance(value, int) and not isinstance(value, bool) and -LIMIT <= value < LIMIT
    if hint is float:
        return isinstance(value, float) and math.isfinite(value)
    return isinstance(value, hint)
