"""The shape of a row in the tables of system calls."""

from __future__ import annotations

from dataclasses import dataclass

from llamactl.trace.decode.families import Family


@dataclass(frozen=True, slots=True)
class Row:
    """What we know about one system call beyond python-ptrace's tables.

    Args:
        name: The kernel's name, as in ``unistd.h``.
        families: What a filter such as ``%file`` finds it by.
        arguments: ``name:decoder`` for each argument, separated by spaces; empty: python-ptrace's prototype
            tells. The decoders are the keys of ``arguments.DECODERS``. The first ``path`` or ``address``
            is the record's ``text``, the second its ``text2``.
        x86_64: The number, where python-ptrace lacks it.
        aarch64: The same for aarch64.
        result: The decoder of a result that isn't an error.
        moves: Where the bytes go that its result counts: ``in`` from a descriptor to the program, ``out`` from the
            program to a descriptor, ``over`` from one descriptor to another without passing the program, ``made``
            by the kernel itself; empty for a call whose result counts none.
    """

    name: str
    families: Family = Family.NONE
    arguments: str = ""
    x86_64: int | None = None
    aarch64: int | None = None
    result: str = "long"
    moves: str = ""


def newer(number: int, name: str, families: Family, arguments: str, result: str = "long") -> Row:
    """Return the row of a call that has the same number everywhere (all calls since Linux 5.1)."""
    return Row(name, families, arguments, number, number, result)
