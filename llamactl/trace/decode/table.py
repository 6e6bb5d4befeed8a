"""All system calls of an architecture: python-ptrace's numbers and prototypes, completed by our rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from llamactl.trace.decode.families import Family
from llamactl.trace.decode.ptrace_library import ARCHITECTURES, PROTOTYPES
from llamactl.trace.decode.row import Row
from llamactl.trace.decode.rows_descriptor import STATE, TRANSFER, WAITING
from llamactl.trace.decode.rows_file import NAMING
from llamactl.trace.decode.rows_memory import IPC, MEMORY
from llamactl.trace.decode.rows_network import NETWORK
from llamactl.trace.decode.rows_other import CLOCKS, OTHER, SIGNALS
from llamactl.trace.decode.rows_process import CREDENTIALS, PROCESS, THREAD

ROWS: tuple[Row, ...] = (
    *NAMING, *TRANSFER, *STATE, *WAITING, *MEMORY, *IPC, *NETWORK, *PROCESS, *THREAD, *CREDENTIALS, *SIGNALS,
    *CLOCKS, *OTHER,
)  # fmt: skip

ARCH_NAMES = ("x86_64", "aarch64")
"""By the ``arch`` of a record."""
I386 = 2
"""The ``arch`` of a 32-bit program's record on x86-64 (``enum record_arch`` in ``native/common/record.h``)."""

FOREIGN = 255
"""The ``arch`` of what is neither."""

# From 512 on, x86-64 numbers are the x32 forms of calls that have a number below already.
_FIRST_X32 = 512
# python-ptrace calls number 283 of x86-64 by a name that the kernel dropped in 2.6.25, and aarch64's range
# for calls of single architectures by its macro's name.
_NOT_NAMES = {"timerfd", "arch_specific_syscall"}

# What an argument's C type says when our rows don't say more.
_BY_TYPE = {
    "int": "int", "pid_t": "int", "__s32": "int", "key_t": "int", "uid_t": "int", "gid_t": "int",
    "clockid_t": "clock", "unsigned int": "uint", "unsigned": "uint", "u32": "uint", "socklen_t": "uint",
    "umode_t": "mode", "size_t": "size", "unsigned long": "hex", "long": "long", "loff_t": "long",
    "off_t": "long",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One system call of one architecture; ``arguments`` are pairs of name and decoder."""

    number: int
    name: str
    families: Family
    arguments: tuple[tuple[str, str], ...]
    result: str


def arch_of(machine: str) -> int:
    """Return the ``arch`` of the records that are made on a machine, as ``uname`` calls it."""
    return ARCH_NAMES.index(machine) if machine in ARCH_NAMES else FOREIGN


@lru_cache
def calls(arch: int) -> dict[int, Call]:
    """Return the calls of an architecture by number.

    Args:
        arch: The ``arch`` of a record; an unknown one has no calls.
    """
    if arch >= len(ARCH_NAMES):
        return {}
    arch_name = ARCH_NAMES[arch]
    numbers = {
        number: name
        for number, name in ARCHITECTURES[arch_name].items()
        if number < _FIRST_X32 and name not in _NOT_NAMES
    }
    for row in ROWS:
        number = getattr(row, arch_name)
        if number is not None:
            numbers[number] = row.name
    rows = {row.name: row for row in ROWS}
    return {number: _call(number, name, rows.get(name)) for number, name in sorted(numbers.items())}


def moving(*ways: str, network: bool | None = None) -> frozenset[str]:
    """Return the calls whose result counts bytes that went one of these ways.

    Args:
        ways: Such as ``in``; see :class:`Row`.
        network: Only those for sockets, or only the others; None for both.
    """
    return frozenset(
        row.name
        for row in ROWS
        if row.moves in ways and (network is None or network == (Family.DESC not in row.families))
    )


@lru_cache
def numbers(arch: int) -> dict[str, int]:
    """Return the calls' numbers by name."""
    return {call.name: number for number, call in calls(arch).items()}


def call_of(arch: int, number: int) -> Call:
    """Return the call; one that nobody knows is named ``syscall_N`` and takes six raw arguments.

    Of another architecture's program, such as one of 32 bits, it is ``i386_syscall_N`` or ``foreign_syscall_N``: the
    same number means another call there.
    """
    known = calls(arch).get(number)
    if known:
        return known
    raw = tuple((f"arg{index}", "hex") for index in range(1, 7))
    prefix = "" if arch < len(ARCH_NAMES) else "i386_" if arch == I386 else "foreign_"
    return Call(number, f"{prefix}syscall_{number}", Family.NONE, raw, "long")


def _call(number: int, name: str, row: Row | None) -> Call:
    if row and row.arguments:
        pairs = tuple((part.partition(":")[0], part.partition(":")[2]) for part in row.arguments.split())
    else:
        _, prototype = PROTOTYPES.get(name, ("long", ()))
        pairs = tuple((argument, _by_type(kind, argument)) for kind, argument in prototype)
    return Call(number, name, row.families if row else Family.NONE, pairs, row.result if row else "long")


def _by_type(kind: str, argument: str) -> str:
    if argument in {"fd", "sockfd"}:
        return "fd"
    if kind.endswith(("*", "]")):
        return "pointer"
    return _BY_TYPE.get(kind, "hex")
