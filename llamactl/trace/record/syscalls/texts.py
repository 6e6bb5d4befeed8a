"""Which pointer arguments a record keeps: the rules of native/common/texts.c, as Python sees them."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import NamedTuple

from llamactl.trace.record.syscalls.native import ffi, lib

HIGHEST = 1024


class TextKind(IntEnum):
    """``enum text_kind`` of native/common/texts.h."""

    NONE = 0
    STRING = 1
    BYTES = 2
    SIZED = 3
    VECTOR = 4
    OUT_BYTES = 5
    OUT_SIZED = 6


class Part(NamedTuple):
    """What one of ``text`` and ``text2`` keeps: ``argument``'s memory; ``size`` depends on the kind."""

    kind: TextKind
    argument: int
    size: int


@cache
def rule_of(number: int) -> tuple[Part, Part] | None:
    """Return what is kept of a native system call's arguments; None for nothing."""
    kinds, arguments, sizes = ffi.new("uint8_t[2]"), ffi.new("uint8_t[2]"), ffi.new("uint16_t[2]")
    if not lib.text_rule(number, kinds, arguments, sizes):
        return None
    first, second = (Part(TextKind(kinds[i]), arguments[i], sizes[i]) for i in range(2))
    return first, second


@cache
def numbers_with_paths() -> frozenset[int]:
    """Native system calls that name a file, a program or a socket, or make a pair of descriptors."""
    names = {TextKind.STRING, TextKind.VECTOR}
    addresses = {Part(TextKind.SIZED, 1, 2), Part(TextKind.OUT_SIZED, 1, 2)}
    pairs = {Part(TextKind.OUT_BYTES, 0, 8), Part(TextKind.OUT_BYTES, 3, 8)}
    rules = {number: rule_of(number) for number in range(HIGHEST)}
    return frozenset(
        number
        for number, rule in rules.items()
        if rule and (rule[0].kind in names or rule[0] in addresses | pairs)
    )


@cache
def numbers_told_on_entry() -> frozenset[int]:
    """Those of :func:`numbers_with_paths` whose strings can all be read before the call is made."""
    later = {TextKind.VECTOR, TextKind.OUT_BYTES, TextKind.OUT_SIZED}
    return frozenset(
        number for number in numbers_with_paths() if not later & {part.kind for part in rule_of(number) or ()}
    )


@cache
def numbers_of_new_programs() -> frozenset[int]:
    """``execve`` and ``execveat``: when they return, what their arguments pointed to is gone."""
    return frozenset(
        number
        for number in numbers_with_paths()
        if TextKind.VECTOR in {part.kind for part in rule_of(number) or ()}
    )
