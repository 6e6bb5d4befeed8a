"""Options in groups: a dataclass is a set of options that several commands share."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


def expanded(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Return a command whose parameters of a dataclass type are replaced by one option per field.

    Fields are declared like Typer's parameters: ``Annotated[type, typer.Option(…)] = default``. The function
    gets an instance of each dataclass.
    """
    hints = {name: _bare(hint) for name, hint in get_type_hints(function, include_extras=True).items()}
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(function)
    def command(**values: Any) -> int | None:
        for name, group in groups.items():
            fields = {field.name: values.pop(field.name) for field in dataclasses.fields(group)}
            values[name] = group(**fields)
        return function(**values)

    del command.__wrapped__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _bare(hint: Any) -> Any:
    """Python 3.10 makes ``Optional[Annotated[…]]`` of a parameter with the default ``None``."""
    inside = [one for one in get_args(hint) if get_origin(one) is Annotated]
    return inside[0] if get_origin(hint) is Union and inside else hint


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default if field.default is not dataclasses.MISSING else inspect.Parameter.empty
