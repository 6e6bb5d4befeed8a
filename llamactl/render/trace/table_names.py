"""The names of the tables without what makes them: for a help text, which must not wait for numpy."""

from __future__ import annotations

from llamactl.render.document import schema


def table_names() -> list[str]:
    """Return the names as the schema has them, which is made from the mechanisms: tables are what has a title."""
    return [name for name, found in schema("trace")["properties"].items() if "title" in found]
