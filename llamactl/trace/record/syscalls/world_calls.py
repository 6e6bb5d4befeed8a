"""Rare calls by which a program asks for what it can't have while it is traced (see ``native/ptrace/world.c``)."""

from __future__ import annotations

import platform

from llamactl.trace.decode.table import arch_of, numbers

_HERE = numbers(arch_of(platform.machine()))
_PTRACE, _PRCTL, _SECCOMP = (_HERE.get(name, -1) for name in ("ptrace", "prctl", "seccomp"))
ALWAYS = frozenset(number for number in (_PTRACE, _PRCTL, _SECCOMP) if number >= 0)
"""They stop a started program whatever is selected."""

NO_STRICT_SECCOMP, NO_TRACER = 1, 2
"""``REFUSED_`` of native/ptrace/tracer.h."""

_PR_SET_SECCOMP, _MODE_STRICT = 22, 1
_SET_MODE_STRICT = 0
_TRACEME = 0

_NOTES = {
    NO_STRICT_SECCOMP: "the program asked for strict seccomp and was refused (EINVAL), which the kernel does where a "
    "filter is, and selected calls need one. With --recorder ptrace -e all there is none",
    NO_TRACER: "the program asked to be traced by its parent (PTRACE_TRACEME) and was refused, since it has a tracer. "
    "Attach with -p --recorder perf, which needs none",
}


def asks_for(number: int, first: int, second: int) -> int:
    """Return the bits of what a call asks for that a program with a tracer and a filter can't have."""
    strict = (number, first, second) == (_PRCTL, _PR_SET_SECCOMP, _MODE_STRICT)
    if strict or (number, first) == (_SECCOMP, _SET_MODE_STRICT):
        return NO_STRICT_SECCOMP
    return NO_TRACER if (number, first) == (_PTRACE, _TRACEME) else 0


def refused_notes(refused: int) -> tuple[str, ...]:
    """Return a sentence for each bit."""
    return tuple(note for bit, note in _NOTES.items() if refused & bit)
