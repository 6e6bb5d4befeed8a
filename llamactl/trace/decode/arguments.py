"""What each kind of argument means: raw register in, typed value out.

A 64-bit register holds an ``int`` in its lower half; the upper half may hold garbage, which every decoder
of a 32-bit type drops, as the kernel does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from llamactl.trace.decode import constants as c
from llamactl.trace.decode import sockets
from llamactl.trace.decode.bits import BitSet, symbol
from llamactl.trace.decode.signals import SIGNALS, signal_name
from llamactl.trace.decode.values import Address, Hex, Octal, Symbol, Value

Decoder = Callable[[int], Value]

_INT = 0xFFFFFFFF
_LONG = (1 << 64) - 1
AT_FDCWD = -100


def signed32(value: int) -> int:
    """Read the lower half as a C ``int``."""
    value &= _INT
    return value - (1 << 32) if value >> 31 else value


def signed64(value: int) -> int:
    """Read the register as a C ``long``."""
    value &= _LONG
    return value - (1 << 64) if value >> 63 else value


def _bits(table: BitSet) -> Decoder:
    return lambda value: table.decode(value & _INT)


def _bits64(table: BitSet) -> Decoder:
    return table.decode


def _one_of(names: Mapping[int, str]) -> Decoder:
    return lambda value: symbol(names, signed32(value))


def _signal(value: int) -> Value:
    number = signed32(value)
    return Symbol(signal_name(number), number) if number in SIGNALS or 32 <= number <= 64 else number


def _clock(value: int) -> Value:
    """Negative clocks are made from a pid or a descriptor (clock_getcpuclockid(3)): shown as numbers."""
    return symbol(c.CLOCKS, signed32(value))


DECODERS: dict[str, Decoder] = {
    "int": signed32,
    "uint": lambda value: value & _INT,
    "long": signed64,
    "size": lambda value: value,
    "hex": Hex,
    "pointer": Address,
    "fcntl_argument": Hex,
    "plainfd": signed32,
    "newfd": signed32,
    "mode": lambda value: Octal(value & 0o177777),
    "access": lambda value: Symbol("F_OK", 0) if value & _INT == 0 else c.ACCESS.decode(value & _INT),
    "prot": lambda value: Symbol("PROT_NONE", 0) if value & _INT == 0 else c.PROT.decode(value & _INT),
    "map": _bits(c.MAP),
    "mremap": _bits(c.MREMAP),
    "msync": _bits(c.MSYNC),
    "mlockall": _bits(c.MLOCKALL),
    "mlock2": _bits(c.MLOCK2),
    "memfd": _bits(c.MEMFD),
    "clone": _bits64(c.CLONE),
    "wait": _bits(c.WAIT),
    "futex": _bits(c.FUTEX_OPERATION),
    "at_flags": _bits(c.AT),
    "faccessat": _bits(c.FACCESSAT),
    "statx": _bits(c.STATX),
    "rwf": _bits(c.RWF),
    "rename": _bits(c.RENAME),
    "getrandom": _bits(c.GETRANDOM),
    "rseq": _bits(c.RSEQ),
    "close_range": _bits(c.CLOSE_RANGE),
    "pipe": _bits(c.PIPE),
    "fdflags": _bits(c.descriptor_flags("O")),
    "eventfd": _bits(c.descriptor_flags("EFD")),
    "epoll_flags": _bits(c.descriptor_flags("EPOLL")),
    "timerfd": _bits(c.descriptor_flags("TFD")),
    "signalfd": _bits(c.descriptor_flags("SFD")),
    "inotify": _bits(c.descriptor_flags("IN")),
    "accept": _bits(c.descriptor_flags("SOCK")),
    "io_uring_enter": _bits(c.IO_URING_ENTER),
    "socket_type": _bits(sockets.SOCKET_TYPE),
    "message": _bits(sockets.MESSAGE),
    "advice": _one_of(c.ADVICE),
    "fadvice": _one_of(c.FADVICE),
    "whence": _one_of(c.SEEK),
    "fcntl": _one_of(c.FCNTL),
    "epoll": _one_of(c.EPOLL),
    "waitid": _one_of(c.WAITID),
    "prctl": _one_of(c.PRCTL),
    "arch_prctl": _one_of(c.ARCH_PRCTL),
    "rlimit": _one_of(c.RLIMITS),
    "sigmask": _one_of(c.SIGMASK),
    "membarrier": _one_of(c.MEMBARRIER),
    "scheduler": _one_of(c.SCHEDULERS),
    "io_uring_register": _one_of(c.IO_URING_REGISTER),
    "domain": _one_of(sockets.DOMAINS),
    "shut": _one_of(sockets.SHUT),
    "level": _one_of(sockets.LEVELS),
    "socket_option": _one_of(sockets.SOCKET_OPTIONS),
    "signal": _signal,
    "clock": _clock,
}
"""Decoders that need the register only. ``fd``, ``at``, ``open`` and ``ioctl`` need more of the
record: see :mod:`llamactl.trace.decode.decode`; what points to memory is in ``structures.READERS``."""

_OPEN_FLAGS = (c.OPEN_X86, c.OPEN_ARM, c.OPEN_X86)


@lru_cache(maxsize=65536)
def decode_plain(kind: str, value: int) -> Value:
    """Decode an argument that needs nothing but its register; repeated values come from a cache."""
    return DECODERS[kind](value)


@lru_cache(maxsize=4096)
def decode_open_flags(value: int, arch: int) -> Value:
    """Decode the flags of ``open``; four bits differ between x86 and aarch64."""
    return _OPEN_FLAGS[min(arch, 2)].decode(value & _INT)
