"""llama.cpp's own RPC: workers elsewhere compute layers of a model. Not safe on an open network.

Before the engine connects, a worker is asked for its protocol version with a time-out (``ggml-rpc.cpp``:
command byte, 8 bytes of size, data; an answer is 8 bytes of size and data): the engine itself would abort.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llamactl.engine import library, rpc_traffic
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError

HELLO, GET_DEVICE_MEMORY, DEVICE_COUNT = 14, 11, 15
CAPABILITIES_BYTES = 24
TIMEOUT_S = 5.0
MOST_ANSWER_BYTES = 4096
DEFAULT_PORT = 50052


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as it answered.

    Attributes:
        endpoint: ``host:port``.
        version: Of its protocol.
        memory_bytes: Free and total memory of each of its devices.
    """

    endpoint: str
    version: tuple[int, int, int]
    memory_bytes: tuple[tuple[int, int], ...]


def protocol() -> tuple[int, int, int]:
    """Return the protocol version of this engine."""
    return lib.RPC_PROTO_MAJOR_VERSION, lib.RPC_PROTO_MINOR_VERSION, lib.RPC_PROTO_PATCH_VERSION


def parse_endpoint(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``.

    Raises:
        UsageError: It isn't one.
    """
    host, colon, port = text.strip().rpartition(":")
    if ":" in host:
        raise UsageError(f"{text!r} is an IPv6 address", "llama.cpp's RPC knows IPv4 only.")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} isn't an address", f"Write HOST:PORT, such as 127.0.0.1:{DEFAULT_PORT}.")
    return host, int(port)


def probe(endpoint: str, timeout_s: float = TIMEOUT_S) -> Worker:
    """Ask a worker for its protocol version and its memory.

    Raises:
        LlamactlError: Nobody answers, it isn't a worker, or its protocol doesn't fit this engine's.
    """
    host, port = parse_endpoint(endpoint)
    try:
        # As the engine does: IPv4, the first address of the name.
        with socket.create_connection((socket.gethostbyname(host), port), timeout_s) as connection:
            hello = _ask(connection, HELLO, bytes(CAPABILITIES_BYTES))
            if len(hello) != 4 + CAPABILITIES_BYTES:
                raise LlamactlError(
                    f"{endpoint} isn't a worker of this protocol", "Start it with llamactl worker."
                )
            version = (hello[0], hello[1], hello[2])
            _check_version(endpoint, version)
            (count,) = struct.unpack("<I", _ask(connection, DEVICE_COUNT, b""))
            memory = [
                struct.unpack("<QQ", _ask(connection, GET_DEVICE_MEMORY, struct.pack("<I", device)))
                for device in range(min(count, 64))
            ]
    except TimeoutError:
        raise LlamactlError(
            f"the worker {endpoint} doesn't answer",
            "It serves one client at a time: is another one using it?",
        ) from None
    except (OSError, EOFError, struct.error) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "it closed the connection"
        )
        raise LlamactlError(
            f"no worker at {endpoint}: {reason}", f"Start one there: llamactl worker {endpoint}."
        ) from None
    return Worker(endpoint, version, tuple((free, total) for free, total in memory))


def _check_version(endpoint: str, version: tuple[int, int, int]) -> None:
    ours = protocol()
    # As the engine itself decides (negotiate_hello): the same major, at most its minor.
    if version[0] != ours[0] or version[1] > ours[1]:
        shown = [".".join(map(str, one)) for one in (version, ours)]
        raise LlamactlError(
            f"the worker {endpoint} speaks protocol {shown[0]}, this engine {shown[1]}",
            "Run the same llamactl on both machines.",
        )


def _ask(connection: socket.socket, command: int, data: bytes) -> bytes:
    connection.sendall(struct.pack("<BQ", command, len(data)) + data)
    (size,) = struct.unpack("<Q", _read(connection, 8))
    if size > MOST_ANSWER_BYTES:
        raise EOFError
    return _read(connection, size)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def connect(endpoints: Sequence[str]) -> tuple[Worker, ...]:
    """Make the devices of workers known to the engine; a model loaded from now on spreads over them.

    Raises:
        LlamactlError: A worker can't be used; see :func:`probe`.
    """
    workers = tuple(probe(endpoint.strip()) for endpoint in endpoints)
    library.start()
    add = _function("ggml_backend_rpc_add_server", "ggml_backend_reg_t(*)(const char *)")
    rpc_traffic.watch(add)
    for worker in workers:
        registered = add(worker.endpoint.encode())
        if registered == ffi.NULL:
            raise LlamactlError(f"the engine can't use the worker {worker.endpoint}", "Its log says why.")
        lib.ggml_backend_register(registered)
    return workers


def serve(endpoint: str, n_threads: int, cache_directory: str | None = None) -> None:
    """Serve as a worker until a signal ends the process (``ggml_backend_rpc_start_server``).

    Raises:
        LlamactlError: The address can't be used.
    """
    check_free(endpoint)
    library.start()
    local = [lib.ggml_backend_dev_get(i) for i in range(lib.ggml_backend_dev_count())]
    gpus = [one for one in local if lib.ggml_backend_dev_type(one) != lib.GGML_BACKEND_DEVICE_TYPE_CPU]
    devices = ffi.new("ggml_backend_dev_t[]", gpus or local)
    start: Any = _function(
        "ggml_backend_rpc_start_server",
        "void(*)(const char *, const char *, size_t, size_t, ggml_backend_dev_t *)",
    )
    # C never returns to Python's own handler; and what C prints is a log, not a result.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(2, 1)
    cache = os.fsencode(cache_directory) if cache_directory else ffi.NULL
    start(endpoint.encode(), cache, n_threads, len(devices), devices)
    raise LlamactlError(f"the worker at {endpoint} ended", "Its log says why.")


def check_free(endpoint: str) -> None:
    """Check that a worker could listen at ``host:port``.

    Raises:
        UsageError: It isn't an address.
        LlamactlError: It is taken, or not of this machine.
    """
    host, port = parse_endpoint(endpoint)
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise LlamactlError(
            f"can't listen on {host}:{port}: {error.strerror}", "Choose another address."
        ) from None


def _function(name: str, kind: str) -> Any:
    registry = lib.ggml_backend_reg_by_name(b"RPC")
    if registry == ffi.NULL:
        raise LlamactlError("this engine was built without RPC", "Build it with -DGGML_RPC=ON.")
    pointer = lib.ggml_backend_reg_get_proc_address(registry, name.encode())
    if pointer == ffi.NULL:
        raise LlamactlError(f"this engine has no {name}", "Build llamactl anew.")
    return ffi.cast(kind, pointer)
