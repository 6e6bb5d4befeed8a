"""Which mapping is which thread's stack, and the function that thread was started with.

glibc keeps a thread's descriptor (``struct pthread``) at the top of its stack. On x86-64 it begins
with a pointer to itself (``tcbhead_t``: ``tcb`` and ``self``), holds the thread's number at 0x2d0 and,
further on, the start routine and its argument (glibc ``nptl/descr.h``). The start routine lies in the
library that made the thread, which tells a worker of libgomp from one of OpenBLAS or of Python.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from llamactl.process.memory.smaps import Smaps
from llamactl.process.target_memory import TargetMemory

_TOP_BYTES = 8192
TID_AT = 0x2D0
SELF_AT = 16
_DESCRIPTOR_BYTES = 0x900


@dataclass(frozen=True, slots=True)
class Stack:
    """A thread's stack: the index of its mapping, and the files that its start routine points into.

    ``maker`` is the file of a C++ thread's own code, where the start routine is libstdc++'s.
    """

    thread: int
    mapping: int
    started_in: str
    maker: str


def find_stacks(memory: TargetMemory, maps: Smaps, threads: set[int]) -> dict[int, Stack]:
    """Return the stacks of ``threads`` by thread number, as far as they can be told (glibc, x86-64)."""
    found: dict[int, Stack] = {}
    if os.uname().machine != "x86_64":
        return found
    for index in _candidates(maps):
        if len(found) == len(threads):
            break
        for descriptor in _descriptors(memory, maps.end[index]):
            thread = descriptor[0]
            if thread in threads and thread not in found:
                found[thread] = _stack(memory, maps, index, *descriptor)
    return found


def _candidates(maps: Smaps) -> Iterator[int]:
    """Yield private, writable, anonymous mappings with a guard below that were written to."""
    for index in range(1, len(maps)):
        if (
            maps.permissions[index] == "rw-p"
            and not maps.inode[index]
            and maps.permissions[index - 1] == "---p"
            and maps.end[index - 1] == maps.start[index]
            and maps.measures[b"Private_Dirty"][index] + maps.measures[b"Swap"][index]
        ):
            yield index


def _descriptors(memory: TargetMemory, top: int) -> Iterator[tuple[int, bytes]]:
    """Yield thread number and bytes of the descriptor in the last pages of a stack."""
    base = top - _TOP_BYTES
    data = memory.read(base, _TOP_BYTES)
    for at in range(0, len(data) - TID_AT - 4, 64):
        address = base + at
        own, _, self = struct.unpack_from("<3Q", data, at)
        if own == address and self == address:
            (thread,) = struct.unpack_from("<i", data, at + TID_AT)
            yield thread, data[at : at + _DESCRIPTOR_BYTES]


def _stack(memory: TargetMemory, maps: Smaps, index: int, thread: int, descriptor: bytes) -> Stack:
    started_in, argument = "", 0
    for at in range(TID_AT + 16, len(descriptor) - 16, 8):
        word, following = struct.unpack_from("<2Q", descriptor, at)
        path = code_file(maps, word)
        if path:
            started_in, argument = path, following
            break
    maker = _maker(memory, maps, argument) if "libstdc++" in started_in else ""
    return Stack(thread, index, started_in, maker)


def _maker(memory: TargetMemory, maps: Smaps, argument: int) -> str:
    """Return the file of a std::thread's state: its first word points to a table in that file."""
    words = memory.words(argument, 1)
    return file_at(maps, words[0]) if words else ""


def code_file(maps: Smaps, address: int) -> str:
    """Return the file whose code is mapped at ``address``, or an empty text."""
    index = maps.ranges.find(address)
    return maps.path[index] if index is not None and "x" in maps.permissions[index] else ""


def file_at(maps: Smaps, address: int) -> str:
    """Return the file mapped at ``address``, or an empty text."""
    index = maps.ranges.find(address)
    return maps.path[index] if index is not None else ""
