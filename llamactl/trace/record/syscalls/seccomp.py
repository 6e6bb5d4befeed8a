"""Build the seccomp filter that stops a program at selected system calls and lets all others run.

Classic BPF jumps only 255 instructions with a condition but any distance without one, so the filter is a
binary search over the boundaries between selected and other numbers (linux/Documentation:
userspace-api/seccomp_filter).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

OFFSET_NR = 0
OFFSET_ARCH = 4
ACTION_ALLOW = 0x7FFF0000
ACTION_TRACE = 0x7FF00000
TRACE_MARK = 0x6C63
"""Our filter's data: a stop with other data is of a filter of the program's own (``native/ptrace/world.c``)."""
X32_BIT = 0x40000000


class Instruction(NamedTuple):
    """``struct sock_filter``."""

    code: int
    when_true: int
    when_false: int
    value: int


def build_filter(
    selection: frozenset[int], audit_arch: int, foreign: int = ACTION_TRACE | TRACE_MARK
) -> list[Instruction]:
    """Return the filter: selected calls, and every call of a foreign ABI (i386, x32), are traced.

    Args:
        selection: System-call numbers of the native ABI.
        audit_arch: The native ABI as AUDIT_ARCH_ value.
        foreign: What happens to calls of another architecture, such as i386: ``ACTION_ALLOW`` where somebody else
            records them.
    """
    boundaries = _boundaries(selection)
    return [
        Instruction(LOAD, 0, 0, OFFSET_ARCH),
        Instruction(JUMP_EQUAL, 1, 0, audit_arch),
        Instruction(RETURN, 0, 0, foreign),
        Instruction(LOAD, 0, 0, OFFSET_NR),
        Instruction(JUMP_AT_LEAST, 0, 1, X32_BIT),
        Instruction(RETURN, 0, 0, ACTION_TRACE | TRACE_MARK),
        *_search(boundaries, 0, len(boundaries)),
    ]


def encode(instructions: list[Instruction]) -> bytes:
    """Return the filter as an array of ``struct sock_filter``."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _boundaries(selection: frozenset[int]) -> list[int]:
    """Numbers at which selected begins or ends, in turn: even places begin."""
    found: list[int] = []
    for number in sorted(selection):
        if found and found[-1] == number:
            found[-1] = number + 1
        else:
            found += [number, number + 1]
    return found


def _search(boundaries: list[int], low: int, high: int) -> list[Instruction]:
    """Code for numbers known to lie after boundary ``low - 1`` and before boundary ``high``."""
    if low == high:
        return [Instruction(RETURN, 0, 0, ACTION_TRACE | TRACE_MARK if low % 2 else ACTION_ALLOW)]
    middle = (low + high) // 2
    below = _search(boundaries, low, middle)
    above = _search(boundaries, middle + 1, high)
    return [
        Instruction(JUMP_AT_LEAST, 0, 1, boundaries[middle]),
        Instruction(JUMP, 0, 0, len(below)),
        *below,
        *above,
    ]
