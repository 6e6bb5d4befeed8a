"""Bytes that went to workers and came from them: the kernel counts them for each connection (tcp(7), TCP_INFO)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

# struct tcp_info (linux/tcp.h): tcpi_bytes_acked and tcpi_bytes_received, two __u64 from byte 120 on.
OFFSET, FORMAT = 120, "=QQ"


def traffic(endpoints: Collection[str]) -> tuple[int, int] | None:
    """Return bytes sent and received over all connections of this process to workers; ``None`` without any."""
    if not endpoints:
        return None
    wanted = {
        (socket.gethostbyname(host), int(port))
        for host, _, port in (one.rpartition(":") for one in endpoints)
    }
    found = [counts for fd in _sockets() if (counts := _counts(fd, wanted)) is not None]
    if not found:
        return None
    return sum(sent for sent, _ in found), sum(received for _, received in found)


def _sockets() -> list[int]:
    numbers = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                numbers.append(int(entry.name))
    return numbers


def _counts(fd: int, wanted: set[tuple[str, int]]) -> tuple[int, int] | None:
    with suppress(OSError, struct.error), socket.socket(fileno=os.dup(fd)) as connection:
        if connection.family == socket.AF_INET and connection.getpeername() in wanted:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            sent, received = struct.unpack_from(FORMAT, info, OFFSET)
            return sent, received
    return None
