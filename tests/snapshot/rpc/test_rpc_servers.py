"""RPC servers: the engine's own, and such as answer wrongly or not at all."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import llamactl
from llamactl.snapshot import rpc
from llamactl.snapshot.host.memory import memory

PROGRAM = Path(__file__).parents[2] / "programs" / "rpc_server.py"
LIBRARIES = Path(llamactl.__file__).parent / "lib"
VERSION = struct.pack("<Q", 28) + bytes([7, 0, 0, 0]) + bytes(24)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def await_listener(port: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        os.sched_yield()


@pytest.fixture
def engine_server() -> Iterator[str]:
    """The engine's own server, once it says that it listens."""
    if not (LIBRARIES / "libggml-rpc.so").exists():
        pytest.skip("this engine was built without RPC")
    port = free_port()
    command = [sys.executable, str(PROGRAM), str(LIBRARIES), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert any("transport" in line for line in process.stdout)
        await_listener(port, process)  # It says so just before it listens.
        yield f"127.0.0.1:{port}"
        process.kill()


def test_the_engines_own_server_tells_its_device(engine_server: str) -> None:
    found = rpc.ask(engine_server)
    assert (found.problem, found.usable) == (None, True)
    assert found.version is not None
    assert tuple(map(int, found.version.split(".")[:2])) == rpc.PROTOCOL
    (device,) = found.devices
    assert device.total_bytes == memory().total_bytes
    assert found.round_trip_ns is not None
    assert found.round_trip_ns > 0


@contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection with ``talk`` and give the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def answers(*replies: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        for reply in replies:
            connection.recv(4096)
            connection.sendall(reply)

    return talk


def counted(count: int) -> bytes:
    return struct.pack("<QI", 4, count)


@pytest.mark.parametrize(
    ("replies", "problem"),
    [
        ((), "doesn't answer as an RPC server does"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "an answer of"),
        ((VERSION[:12],), "doesn't answer as an RPC server does"),
        ((VERSION.replace(bytes([7, 0, 0, 0]), bytes([6, 1, 0, 0]), 1),), "speaks protocol 6.1.0"),
        ((VERSION, counted(0)), "lends no device"),
        ((VERSION, counted(2), struct.pack("<QQQ", 16, 5, 9)), "doesn't answer as an RPC server does"),
        ((VERSION, struct.pack("<Q", 1 << 60)), "an answer of"),
    ],
)
def test_wrong_answers_are_told_not_raised(replies: tuple[bytes, ...], problem: str) -> None:
    with answering(answers(*replies)) as endpoint:
        found = rpc.ask(endpoint)
    assert not found.usable
    assert problem in (found.problem or "")


def test_what_was_told_before_the_end_is_kept() -> None:
    with answering(answers(VERSION, counted(2), struct.pack("<QQQ", 16, 5, 9))) as endpoint:
        found = rpc.ask(endpoint)
    assert (found.version, found.devices) == ("7.0.0", (rpc.RpcDevice(0, 9, 5),))


def test_a_server_that_says_nothing_is_given_up() -> None:
    done = threading.Event()
    with answering(lambda _connection: assert_set(done)) as endpoint:
        found = rpc.ask(endpoint, timeout_s=0.05)
        done.set()
    assert "timed out" in (found.problem or "")


def assert_set(event: threading.Event) -> None:
    assert event.wait(10)


@pytest.mark.parametrize("endpoint", ["", "host", "host:", "host:http", ":50052", "host:0", "host:70000"])
def test_what_is_no_address(endpoint: str) -> None:
    assert rpc.ask(endpoint).problem == "not of the form host:port"


def test_nobody_there() -> None:
    assert "can't be reached" in (rpc.ask(f"127.0.0.1:{free_port()}").problem or "")
