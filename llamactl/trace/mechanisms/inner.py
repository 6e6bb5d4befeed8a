"""Fields of facts that are for other mechanisms alone."""

from __future__ import annotations

INNER = {"inner": True}
"""Metadata of a field that no output has, such as arrays of records."""
