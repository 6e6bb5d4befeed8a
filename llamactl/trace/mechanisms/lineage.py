"""Whose mappings a forked process has: those that its parent had then, until it starts another program."""

from __future__ import annotations

from dataclasses import dataclass

FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Fork:
    """A process that began as a copy of another one.

    Attributes:
        parent: That one.
        began_ns: When.
        until_ns: When it started another program.
    """

    parent: int
    began_ns: int
    until_ns: int = FOREVER
