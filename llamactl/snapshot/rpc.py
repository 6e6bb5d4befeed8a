"""Servers of llama.cpp's RPC: there or not, of which protocol, with which devices and how much memory.

They are asked in the protocol's own words (``ggml-rpc.cpp``), with a time limit, because the engine ends the
whole process when a server can't be reached. The protocol has no encryption and no password.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

PROTOCOL: Final = (7, 0)
"""RPC_PROTO_MAJOR_VERSION and RPC_PROTO_MINOR_VERSION of the pinned engine (``ggml-rpc.h``)."""
TIMEOUT_S: Final = 3.0
MAX_DEVICES: Final = 64

_GET_DEVICE_MEMORY, _HELLO, _DEVICE_COUNT = 11, 14, 15
_CAPABILITIES: Final = bytes(24)
"""RPC_CONN_CAPS_SIZE bytes: a connection without RDMA."""
_VERSION: Final = struct.Struct("<BBBx24s")
_COUNT: Final = struct.Struct("<I")
_MEMORY: Final = struct.Struct("<QQ")
_SIZE: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class RpcDevice:
    """A device of a server.

    Attributes:
        number: As the server counts.
        total_bytes: Memory.
        free_bytes: Of that, free.
    """

    number: int
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class RpcServer:
    """What a server answers.

    Attributes:
        endpoint: As given, ``host:port``.
        version: Of its protocol, such as ``7.0.0``; None if it didn't say.
        usable: This engine can work with it.
        devices: Those it lends.
        round_trip_ns: The quickest of its answers; None without one.
        problem: What is wrong; None if nothing is.
    """

    endpoint: str
    version: str | None
    usable: bool
    devices: tuple[RpcDevice, ...]
    round_trip_ns: int | None
    problem: str | None


def ask(endpoint: str, timeout_s: float = TIMEOUT_S) -> RpcServer:
    """Ask a server for its protocol and its devices; what fails is told in ``problem``, never raised.

    Args:
        endpoint: ``host:port``.
        timeout_s: For the connection and for each answer.
    """
    place = address(endpoint)
    if place is None:
        return RpcServer(endpoint, None, False, (), None, "not of the form host:port")
    try:
        with socket.create_connection(place, timeout_s) as connection:
            return _Conversation(endpoint, connection).hold()
    except OSError as error:
        return RpcServer(endpoint, None, False, (), None, f"can't be reached: {error.strerror or error}")


def address(endpoint: str) -> tuple[str, int] | None:
    """Return host and port of ``host:port``; None if it isn't of that form."""
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        return None
    return host.strip("[]"), int(port)


class _Conversation:
    """One connection and what was learned over it."""

    def __init__(self, endpoint: str, connection: socket.socket) -> None:
        self.endpoint = endpoint
        self.connection = connection
        self.quickest_ns: int | None = None

    def hold(self) -> RpcServer:
        version, devices = None, []
        try:
            major, minor, patch, _ = _VERSION.unpack(self._command(_HELLO, _CAPABILITIES, _VERSION.size))
            version = f"{major}.{minor}.{patch}"
            if major != PROTOCOL[0] or minor > PROTOCOL[1]:
                return self._end(
                    version, (), f"speaks protocol {version}, this engine {PROTOCOL[0]}.{PROTOCOL[1]}"
                )
            (count,) = _COUNT.unpack(self._command(_DEVICE_COUNT, b"", _COUNT.size))
            for number in range(min(count, MAX_DEVICES)):
                free, total = _MEMORY.unpack(
                    self._command(_GET_DEVICE_MEMORY, _COUNT.pack(number), _MEMORY.size)
                )
                devices.append(RpcDevice(number, total, free))
        except (OSError, ValueError) as error:
            return self._end(version, tuple(devices), f"doesn't answer as an RPC server does: {error}")
        return self._end(version, tuple(devices), None if devices else "lends no device")

    def _end(self, version: str | None, devices: tuple[RpcDevice, ...], problem: str | None) -> RpcServer:
        return RpcServer(self.endpoint, version, problem is None, devices, self.quickest_ns, problem)

    def _command(self, number: int, request: bytes, expected: int) -> bytes:
        """Send a command and return its answer, which must have the expected length."""
        begin = time.monotonic_ns()
        self.connection.sendall(bytes([number]) + _SIZE.pack(len(request)) + request)
        (length,) = _SIZE.unpack(self._receive(_SIZE.size))
        if length != expected:
            raise ValueError(f"an answer of {length} bytes where {expected} are due")
        answer = self._receive(expected)
        elapsed = time.monotonic_ns() - begin
        self.quickest_ns = min(elapsed, self.quickest_ns or elapsed)
        return answer

    def _receive(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            piece = self.connection.recv(length - len(received))
            if not piece:
                raise ValueError("it closed the connection")
            received += piece
        return received
