"""Small structures that arguments point to, as the recorder kept their bytes.

Sources: linux/sched.h (clone_args), linux/openat2.h (open_how), linux/time_types.h, linux/resource.h.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from llamactl.trace.decode import constants as c
from llamactl.trace.decode.arguments import decode_open_flags
from llamactl.trace.decode.signals import signal_name
from llamactl.trace.decode.sockets import address_text
from llamactl.trace.decode.values import Address, Descriptor, Octal, Struct, Symbol, Text, Value, Words

Reader = Callable[[bytes, bool, int], Value]
"""Takes the bytes, whether they were cut, and the record's architecture."""

_CLONE_ARGS = ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls")
_NANOSECONDS = 1_000_000_000


def _numbers(data: bytes, layout: str) -> tuple[int, ...] | None:
    """Read fixed-size numbers from the beginning; None when there are too few bytes."""
    size = struct.calcsize(layout)
    return struct.unpack(layout, data[:size]) if len(data) >= size else None


def _text(data: bytes, cut: bool, _arch: int) -> Value:
    return Text(data, cut)


def _address(data: bytes, cut: bool, _arch: int) -> Value:
    return Text(address_text(data), cut)


def _words(data: bytes, cut: bool, _arch: int) -> Value:
    parts = data.removesuffix(b"\0").split(b"\0") if data else []
    return Words(tuple(parts), cut)


def _pair(data: bytes, _cut: bool, _arch: int) -> Value:
    numbers = _numbers(data, "<ii")
    return Struct((("0", Descriptor(numbers[0])), ("1", Descriptor(numbers[1])))) if numbers else None


def _clone3(data: bytes, _cut: bool, _arch: int) -> Value:
    count = min(len(data) // 8, len(_CLONE_ARGS))
    fields: list[tuple[str, Value]] = []
    for name, number in zip(_CLONE_ARGS, struct.unpack(f"<{count}Q", data[: count * 8]), strict=False):
        if name == "flags":
            fields.append((name, c.CLONE.decode(number)))
        elif name == "exit_signal":
            fields.append((name, Symbol(signal_name(number), number) if number else 0))
        elif number:
            fields.append((name, number if name == "stack_size" else Address(number)))
    return Struct(tuple(fields))


def _open_how(data: bytes, _cut: bool, arch: int) -> Value:
    numbers = _numbers(data, "<QQQ")
    if not numbers:
        return None
    flags, mode, resolve = numbers
    fields: list[tuple[str, Value]] = [("flags", decode_open_flags(flags, arch))]
    if mode:
        fields.append(("mode", Octal(mode)))
    return Struct((*fields, ("resolve", c.RESOLVE.decode(resolve))))


def _timespec(data: bytes, _cut: bool, _arch: int) -> Value:
    numbers = _numbers(data, "<qq")
    return Struct((("tv_sec", numbers[0]), ("tv_nsec", numbers[1]))) if numbers else None


def _status(data: bytes, _cut: bool, _arch: int) -> Value:
    numbers = _numbers(data, "<i")
    if not numbers:
        return None
    status = numbers[0]
    if os.WIFSIGNALED(status):
        return Struct((("signal", Symbol(signal_name(os.WTERMSIG(status)), os.WTERMSIG(status))),))
    if os.WIFSTOPPED(status):
        return Struct((("stopped", Symbol(signal_name(os.WSTOPSIG(status)), os.WSTOPSIG(status))),))
    return Struct((("exit", os.WEXITSTATUS(status)),))


def _rlimit(data: bytes, _cut: bool, _arch: int) -> Value:
    numbers = _numbers(data, "<QQ")
    if not numbers:
        return None
    unlimited = (1 << 64) - 1
    soft, hard = (Symbol("RLIM64_INFINITY", n) if n == unlimited else n for n in numbers)
    return Struct((("rlim_cur", soft), ("rlim_max", hard)))


def _integer(data: bytes, _cut: bool, _arch: int) -> Value:
    numbers = _numbers(data, "<i")
    return Words((b"%d" % numbers[0],), False) if numbers else None


READERS: dict[str, Reader] = {
    "path": _text,
    "string": _text,
    "address": _address,
    "argv": _words,
    "fd_pair": _pair,
    "clone3": _clone3,
    "open_how": _open_how,
    "timespec": _timespec,
    "status": _status,
    "rlimit_in": _rlimit,
    "rlimit_out": _rlimit,
    "int_pointer": _integer,
}
"""By decoder name. The first argument of such a kind is the record's ``text``, the second its ``text2``."""
