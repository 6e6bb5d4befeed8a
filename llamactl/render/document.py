"""Facts as a JSON document: named by a schema, ``None`` as ``null``, nothing rounded."""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from functools import cache
from importlib import resources
from typing import Any


def plain(value: Any) -> Any:
    """Return dataclasses, enums, bytes, tuples and mappings as what JSON knows; fields marked ``inner`` are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in shown_fields(type(value))}
    if isinstance(value, dict):
        return {str(plain(key)): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.value if isinstance(value, Enum) else value


def shown_fields(kind: Any) -> tuple[str, ...]:
    """Return the fields of a dataclass that documents have."""
    return _shown_fields(kind)


@cache
def _shown_fields(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(kind) if not item.metadata.get("inner"))


def document(name: str, version: int, value: Any) -> dict[str, Any]:
    """Return facts with the name and version of their schema first."""
    return {"schema": f"llamactl.{name}", "schema_version": version, **plain(value)}


def dumps(value: dict[str, Any], *, indent: int | None = 2) -> str:
    r"""Return JSON text that is valid UTF-8: lone surrogates of undecodable names come as ``\udcXX``."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


@cache
def schema(name: str) -> dict[str, Any]:
    """Return a JSON Schema (2020-12) of the package, such as ``run``."""
    text = (
        resources.files("llamactl.render")
        .joinpath("schemas")
        .joinpath(f"{name}.schema.json")
        .read_text("utf-8")
    )
    loaded: dict[str, Any] = json.loads(text)
    return loaded
