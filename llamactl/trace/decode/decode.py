"""One record of a system call, made readable. Lazy: nothing is decoded that isn't shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llamactl.trace.capture.record import Flag
from llamactl.trace.decode.arguments import AT_FDCWD, decode_open_flags, decode_plain, signed32
from llamactl.trace.decode.ioctls import request_name
from llamactl.trace.decode.signals import error_name
from llamactl.trace.decode.sockets import protocol
from llamactl.trace.decode.structures import READERS
from llamactl.trace.decode.table import Call, call_of
from llamactl.trace.decode.values import (
    Address,
    Decoded,
    Descriptor,
    Flags,
    Struct,
    Symbol,
    Text,
    Value,
    Words,
)

_MAP_ANONYMOUS = 0x20
_O_CREAT, _TMPFILE_BIT = 0o100, 0o20000000
_OPEN_FLAGS = {"open": 1, "openat": 2}
_FUTEX_COMMAND = 127
_FUTEX_ARGUMENTS = {0: 4, 1: 3, 6: 4, 7: 1, 8: 1, 10: 6}
"""By command, as in futex(2): WAIT, WAKE, LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAKE_BITSET."""


@dataclass(frozen=True, slots=True)
class RawCall:
    """The fields of a SYSCALL record that decoding needs, as Python values.

    ``target`` is what the call's descriptor stood for, None when unknown.
    """

    arch: int
    nr: int
    flags: int
    ret: int
    args: tuple[int, ...]
    text: int = 0
    text2: int = 0
    target: bytes | None = None


class CallDecoder:
    """Decodes records; keeps no state but caches.

    Args:
        text: Returns the string that a reference means, as ``Capture.text``.
    """

    def __init__(self, text: Callable[[int], bytes]) -> None:
        self._text = text

    def decode(self, raw: RawCall) -> Decoded:
        """Name the call, its arguments and its result."""
        call = call_of(raw.arch, raw.nr)
        references = iter((raw.text, raw.text2))
        arguments = tuple(
            (name, self._argument(kind, value, raw, references))
            for (name, kind), value in zip(call.arguments, raw.args, strict=False)
        )
        if call.name == "mmap" and raw.args[3] & _MAP_ANONYMOUS:
            arguments = tuple((name, -1 if name == "fd" else value) for name, value in arguments)
        arguments = arguments[: _meaningful(call.name, raw, len(arguments))]
        if raw.flags & Flag.NO_EXIT:
            return Decoded(call.name, arguments, None, None)
        error = error_name(raw.ret)
        return Decoded(call.name, arguments, _result(call, raw, error), error)

    def _argument(self, kind: str, value: int, raw: RawCall, references: Iterator[int]) -> Value:
        reader = READERS.get(kind)
        if reader:
            reference = next(references, 0)
            if not reference:
                return Address(value)
            return reader(self._text(reference), bool(raw.flags & Flag.TEXT_CUT), raw.arch)
        if kind == "fd":
            return Descriptor(signed32(value), raw.target)
        if kind == "at":
            number = signed32(value)
            return Symbol("AT_FDCWD", number) if number == AT_FDCWD else Descriptor(number, None)
        if kind == "open":
            return decode_open_flags(value, raw.arch)
        if kind == "protocol":
            return protocol(signed32(value), signed32(raw.args[0]))
        if kind == "ioctl":
            return request_name(value & 0xFFFFFFFF, raw.target)
        return decode_plain(kind, value)


def _meaningful(name: str, raw: RawCall, count: int) -> int:
    """Return how many arguments the kernel looks at: some depend on an earlier one."""
    position = _OPEN_FLAGS.get(name)
    if position is not None and not raw.args[position] & (_O_CREAT | _TMPFILE_BIT):
        return position + 1
    if name == "futex":
        return _FUTEX_ARGUMENTS.get(raw.args[1] & _FUTEX_COMMAND, count)
    return count


def _result(call: Call, raw: RawCall, error: str | None) -> Value:
    if error:
        return raw.ret
    if call.result == "newfd":
        return Descriptor(raw.ret, raw.target if call.name.startswith("open") else None)
    if call.name == "fcntl" and raw.args[1] & 0xFFFFFFFF == 3:  # F_GETFL
        return decode_open_flags(raw.ret, raw.arch)
    return decode_plain(call.result, raw.ret & 0xFFFFFFFFFFFFFFFF if call.result == "pointer" else raw.ret)


def plain(value: Value) -> object:
    """Return a value for JSON: numbers as numbers, flags as lists, bytes escaped, descriptors as objects."""
    if isinstance(value, Flags):
        return [*value.names, *([hex(value.rest)] if value.rest else [])]
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, Descriptor):
        return {"fd": value.number, "path": escape(value.target) if value.target is not None else None}
    if isinstance(value, Text):
        return escape(value.data)
    if isinstance(value, Words):
        return [escape(word) for word in value.words]
    if isinstance(value, Struct):
        return {name: plain(field) for name, field in value.fields}
    if isinstance(value, int) or value is None:
        return value
    return value.value


def escape(data: bytes) -> str:
    r"""Return bytes as text: UTF-8 where it is valid, other bytes as ``\xNN``."""
    return data.decode("utf-8", "backslashreplace")
