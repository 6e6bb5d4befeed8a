"""The JSON Schema of the report, made from the types of the facts; ``docs/generate.py`` writes it.

Descriptions are those of the dataclasses themselves: ``Attributes:`` in their docstring, or a text below a field.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import types
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from llamactl.render.document import shown_fields
from llamactl.render.trace.json import SCHEMA, SCHEMA_VERSION
from llamactl.trace.mechanisms.interface.exchange import Place
from llamactl.trace.mechanisms.registry import MECHANISMS

_SIMPLE = {
    int: "integer",
    float: "number",
    str: "string",
    bytes: "string",
    bool: "boolean",
    type(None): "null",
}

_TEXTS = {"type": "array", "items": {"type": "string"}}


def trace_schema() -> dict[str, Any]:
    """Return the schema of ``--format json``; the tables of ``--show`` have a title."""
    kinds = _Kinds()
    place = kinds.of(Place | None)
    properties: dict[str, Any] = {
        "schema": {"const": SCHEMA},
        "schema_version": {"const": SCHEMA_VERSION},
        "command": _TEXTS,
        "begin_ns": {"type": "integer"},
        "length_s": {"type": "number"},
        "mechanisms": {"type": "array", "items": {"$ref": "#/$defs/Mechanism"}},
        "findings": {"type": "array", "items": {"$ref": "#/$defs/Finding"}},
    }
    kinds.found["Mechanism"] = _object(
        {
            "name": {"type": "string"},
            "verdict": {"description": "ok, –, UNKNOWN, or what asks for attention.", "type": "string"},
            "facts": {"description": "Under which names its figures stand in this document.", **_TEXTS},
            "text": {"description": "What the report says of it.", **_TEXTS},
        }
    )
    kinds.found["Finding"] = _object(
        {
            "code": {"type": "string"},
            "figures": {"type": "object"},
            "text": {"description": "What was found, in a sentence or two.", "type": "string"},
            "remedy": {"description": "What to do; empty for nothing.", "type": "string"},
            "place": {"description": "File, line and function of the Python code to blame.", **place},
            "caller": {"description": "Where that was called from outside of installed packages.", **place},
            "cost_ns": {
                "description": "The time it cost; null where that isn't known.",
                "type": ["integer", "null"],
            },
        }
    )
    for mechanism in MECHANISMS:
        titles = {table.name: table.title for table in mechanism.tables}
        for name, found in kinds.fields_of(mechanism.facts).items():
            properties[name] = {"title": titles[name], **found} if name in titles else found
    properties["metadata"] = {"type": "object"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "Report of llamactl trace",
        "description": "Times in nanoseconds (_ns) or seconds (_s), sizes in bytes; null is unknown. Every row of a table"
        " has name and count; what has a title is a table of --show.",
        **_object(properties),
        "$defs": dict(sorted(kinds.found.items())),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class _Kinds:
    """Turns types into schemas; dataclasses become definitions."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def fields_of(self, kind: type[Any]) -> dict[str, Any]:
        """Return the schemas of a dataclass's fields."""
        hints, said = get_type_hints(kind), _descriptions(kind)
        return {
            name: {**({"description": said[name]} if name in said else {}), **self.of(hints[name])}
            | ({"minimum": 0} if name == "count" else {})
            for name in shown_fields(kind)
        }

    def of(self, hint: Any) -> dict[str, Any]:
        """Return the schema of a type."""
        origin, inside = get_origin(hint), get_args(hint)
        if hint in _SIMPLE:
            return {"type": _SIMPLE[hint]}
        if origin in {Union, types.UnionType}:
            return self._union([self.of(one) for one in inside])
        if origin is Literal:
            return {"enum": list(inside)}
        if origin is tuple and inside[-1] is not Ellipsis:
            each = [self.of(one) for one in inside]
            return {"type": "array", "prefixItems": each, "minItems": len(each), "maxItems": len(each)}
        if origin in {list, tuple}:
            return {"type": "array", "items": self.of(inside[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(inside[1])}
        if dataclasses.is_dataclass(hint):
            return self._reference(hint)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return {"enum": [one.value for one in hint]}
        if hint is Any:
            return {}
        raise TypeError(f"JSON has no {hint}")

    def _reference(self, kind: Any) -> dict[str, Any]:
        if kind.__name__ not in self.found:
            self.found[kind.__name__] = {}  # It may hold itself.
            self.found[kind.__name__] = _object(self.fields_of(kind))
        return {"$ref": f"#/$defs/{kind.__name__}"}

    def _union(self, each: list[dict[str, Any]]) -> dict[str, Any]:
        if all(list(one) == ["type"] for one in each):
            return {"type": [one["type"] for one in each]}
        return {"anyOf": each}


def _descriptions(kind: type[Any]) -> dict[str, str]:
    """Return what a dataclass says of its fields."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = _attributes(inspect.getdoc(kind) or "")
    for item, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[item.target.id] = " ".join(str(below.value.value).split())
    return found


def _attributes(text: str) -> dict[str, str]:
    """Return the section ``Attributes:`` of a docstring."""
    section = text.partition("Attributes:\n")[2].partition("\n\n")[0]
    pairs = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in pairs}
