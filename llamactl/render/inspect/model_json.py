"""A model as a JSON document."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from llamactl.render.document import document, plain
from llamactl.render.inspect.version import NAME, VERSION
from llamactl.snapshot.gguf.model import ModelSnapshot

if TYPE_CHECKING:
    from llamactl.run.memory_needed import MemoryNeeded

# What isn't here belongs to the section "model"; the files and their fault are in every document.
_ALWAYS: Final = ("parts", "fault")
_FIELDS: Final = {
    "groups": ("groups",),
    "memory": ("memory_needed",),
    "metadata": ("metadata",),
    "template": ("chat_template", "chat_template_bytes", "chat_templates"),
    "tensors": ("tensors",),
}


def model_document(
    snapshot: ModelSnapshot, needed: MemoryNeeded | None = None, only: Collection[str] = ()
) -> dict[str, Any]:
    """Return a model as the document of ``inspect-model.schema.json``.

    Args:
        snapshot: The model.
        needed: What a context would need, if that was asked.
        only: Names of sections, whose fields alone are in it; empty for all.
    """
    facts = {**plain(snapshot), "memory_needed": plain(needed)}
    for each in facts["metadata"]:
        each["value"] = _storable(each["value"])
    elsewhere = {name: section for section, names in _FIELDS.items() for name in names}
    shown = {
        name: value
        for name, value in facts.items()
        if not only or name in _ALWAYS or elsewhere.get(name, "model") in only
    }
    return document(NAME, VERSION, {"kind": "model", "model": shown})


def _storable(value: Any) -> Any:
    """JSON has no infinity and no NaN, which a float of a model's metadata can be: they become text."""
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
