"""Two workers on the loopback, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llamactl.engine import rpc
from llamactl.errors import LlamactlError, UsageError

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def running_worker() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    endpoint = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "llamactl", "worker", endpoint, "-t", "1"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    try:
        for line in process.stderr:
            if "transport" in line:
                break
        # The next thing it does is to listen; a connection that comes earlier is refused.
        for _ in range(1000):
            with contextlib.suppress(OSError), socket.create_connection(endpoint.split(":"), 1):  # type: ignore[arg-type]
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield endpoint, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def worker() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with running_worker() as one:
        yield one


def test_two_workers_compute_and_their_traffic_is_counted(bench: Run, tmp_path: Path) -> None:
    saved = tmp_path / "r.json"
    with running_worker() as (first, _), running_worker() as (second, _):
        workers = ("--rpc", f"{first},{second}")
        done = bench("-p", "8", "-n", "4", "-r", "2", "-q", *workers, "--save", str(saved))
    assert done.returncode == 0, done.stderr
    value = json.loads(saved.read_text())
    assert value["environment"]["backends"] == "RPC"
    for result in value["results"]:
        counters = result["samples"][0]["counters"]
        # Logits of a 49k vocabulary come back for each token.
        assert counters["rpc_received_bytes"] > 100_000
        assert counters["rpc_sent_bytes"] > 0


def test_run_writes_the_same_text_with_workers(model_file: str) -> None:
    command = [
        sys.executable,
        "-m",
        "llamactl",
        "run",
        "-m",
        model_file,
        "-t",
        "1",
        "-n",
        "8",
        "--temp",
        "0",
        "-q",
    ]
    alone = subprocess.run([*command, "Hello"], capture_output=True, text=True, timeout=120, check=True)
    with running_worker() as (first, _), running_worker() as (second, _):
        spread = subprocess.run(
            [*command, "--rpc", f"{first},{second}", "Hello"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    assert spread.stdout == alone.stdout != ""


def test_a_probe_tells_version_and_memory(worker: tuple[str, subprocess.Popen[str]]) -> None:
    found = rpc.probe(worker[0])
    assert found.version == rpc.protocol()
    ((free, total),) = found.memory_bytes
    assert 0 < free <= total


def test_a_dying_worker_is_one_clear_line_and_no_hang(
    model_file: str, worker: tuple[str, subprocess.Popen[str]]
) -> None:
    command = [
        "bench",
        "-m",
        model_file,
        "-t",
        "1",
        "-p",
        "0",
        "-n",
        "2000",
        "--progress",
        "--rpc",
        worker[0],
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "llamactl", *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "repetition 1" in line:
            worker[1].kill()
            break
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 125
    assert "RPC server crashed" in rest
    assert rest.count("\n") == 1
    assert process.stdout
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("text", ["", "x", "host:", ":1", "h:0", "h:99999", "h:1x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        rpc.parse_endpoint(text)


def test_nobody_there_is_one_clear_line(bench: Run) -> None:
    done = bench("-p", "0", "-n", "1", "--rpc", f"127.0.0.1:{free_port()}")
    assert done.returncode == 125
    assert "no worker at" in done.stderr and done.stderr.count("\n") == 1


def answering(answer: bytes) -> Iterator[str]:
    """A server that answers the first request with given bytes and closes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1:{server.getsockname()[1]}"
    thread.join()
    server.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (struct.pack("<Q", 28) + bytes([99, 0, 0, 0]) + bytes(24), "speaks protocol 99.0.0"),
        (struct.pack("<Q", 4) + bytes([1, 0, 0, 0]), "isn't a worker of this protocol"),
        (struct.pack("<Q", 2**60), "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no worker at"),
        (b"", "no worker at"),
    ],
)
def test_others_than_workers_are_told_apart(answer: bytes, message: str) -> None:
    for endpoint in answering(answer):
        with pytest.raises(LlamactlError, match=message):
            rpc.probe(endpoint)


def test_a_worker_that_is_busy_doesnt_hang_us() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(LlamactlError, match="doesn't answer"),
    ):
        rpc.probe(f"127.0.0.1:{server.getsockname()[1]}", timeout_s=0.2)


def test_ctrl_c_ends_a_worker(worker: tuple[str, subprocess.Popen[str]]) -> None:
    worker[1].send_signal(signal.SIGTERM)
    assert worker[1].wait(timeout=30) == -signal.SIGTERM


def test_a_port_in_use_is_one_clear_line(worker: tuple[str, subprocess.Popen[str]]) -> None:
    command = [sys.executable, "-m", "llamactl", "worker", worker[0]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 125
    assert "can't listen" in done.stderr
    assert "worker at" not in done.stderr, "nothing is announced that isn't there"
