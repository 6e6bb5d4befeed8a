"""What the arguments of a waiting call point to, read from the process's memory."""

from __future__ import annotations

import os
import struct

from llamactl.process.target_memory import TargetMemory
from llamactl.process.threads.waiting import PATH_ARGUMENT, Wait

_POLLIN, _POLLOUT = 1, 4
_MOST_POLLED = 8
_MOST_SELECTED = 1024
_LONGEST_PATH = 4096
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10


def path_argument(wait: Wait, memory: TargetMemory | None) -> str:
    """Return the path that a call names, or an empty text."""
    at = PATH_ARGUMENT.get(wait.call)
    if memory is None or at is None or len(wait.arguments) <= at:
        return ""
    address = wait.arguments[at]
    # Up to the end of the page first: the next one may not be there.
    data = memory.read(address, 4096 - address % 4096)
    if b"\0" not in data:
        data += memory.read(address + len(data), _LONGEST_PATH - len(data))
    return os.fsdecode(data.partition(b"\0")[0])


def socket_address(wait: Wait, memory: TargetMemory | None) -> str:
    """Return the address that connect(2) was given: ``host:port``, or the path of a unix socket."""
    if memory is None or len(wait.arguments) < 3:
        return ""
    data = memory.read(wait.arguments[1], min(wait.arguments[2], 128))
    family = struct.unpack_from("=H", data)[0] if len(data) >= 2 else 0
    if family == _AF_UNIX:
        path = data[2:]
        abstract = path[:1] == b"\0"
        return "@" + os.fsdecode(path[1:]) if abstract else os.fsdecode(path.partition(b"\0")[0])
    return _internet(family, data)


def _internet(family: int, data: bytes) -> str:
    import socket

    if family == _AF_INET and len(data) >= 8:
        host = socket.inet_ntop(socket.AF_INET, data[4:8])
        return f"{host}:{struct.unpack_from('>H', data, 2)[0]}"
    if family == _AF_INET6 and len(data) >= 24:
        host = socket.inet_ntop(socket.AF_INET6, data[8:24])
        return f"[{host}]:{struct.unpack_from('>H', data, 2)[0]}"
    return ""


def watched(wait: Wait, memory: TargetMemory | None) -> list[tuple[int, bool]]:
    """Return the descriptors that poll or select waits for, and whether to write; nothing for many of them."""
    if memory is None or len(wait.arguments) < 4:
        return []
    if wait.call in ("poll", "ppoll"):
        return _polled(memory, *wait.arguments[:2])
    if wait.call in ("select", "pselect6"):
        return _selected(memory, *wait.arguments[:3])
    return []


def _polled(memory: TargetMemory, address: int, count: int) -> list[tuple[int, bool]]:
    if count > _MOST_POLLED:
        return []
    data = memory.read(address, 8 * count)
    entries = struct.iter_unpack("=ihh", data[: len(data) // 8 * 8])
    return [(fd, bool(events & _POLLOUT) and not events & _POLLIN) for fd, events, _ in entries if fd >= 0]


def _selected(memory: TargetMemory, highest: int, reads: int, writes: int) -> list[tuple[int, bool]]:
    if highest > _MOST_SELECTED:
        return []
    found = []
    for address, to_write in ((reads, False), (writes, True)):
        bits = int.from_bytes(memory.read(address, (highest + 7) // 8), "little") if address else 0
        found += [(fd, to_write) for fd in range(highest) if bits >> fd & 1]
    return found
