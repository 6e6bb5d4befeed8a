"""Two workers on the loopback, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest
from workers import free_port, running_worker, seen_by_worker

from llamactl.engine import rpc
from llamactl.errors import LlamactlError, UsageError
from llamactl.render.document import schema

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def worker() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with running_worker() as one:
        yield one


def test_each_workers_traffic_is_counted(bench: Run, tmp_path: Path) -> None:
    saved = tmp_path / "r.json"
    with running_worker() as (first, _), running_worker() as (second, _):
        workers = ("--rpc", f"{first},{second}")
        done = bench("-p", "8", "-n", "4", "-r", "2", "--load", "warm", *workers, "--save", str(saved))
    assert done.returncode == 0, done.stderr
    value = json.loads(saved.read_text())
    jsonschema.Draft202012Validator(schema("bench")).validate(value)
    assert value["environment"]["backends"] == "RPC"
    results = {one["name"]: one for one in value["results"]}
    for result in results.values():
        for sample in result["samples"]:
            for name in ("sent_bytes", "received_bytes", "round_trips", "waited_ns"):
                total = sum(worker[name] for worker in sample["workers"].values())
                assert sample["counters"][f"rpc_{name}"] == total
    tokens = results["tg4"]["workers_per_token"]
    assert [one["round_trips"] for one in tokens.values()] == [1, 1]
    # The last layers' worker sends the logits back: 49,152 floats, and the eight bytes of their length.
    assert max(one["received_bytes"] for one in tokens.values()) == 49152 * 4 + 8
    # A load sends all weights that are computed elsewhere, and rows of the table to each.
    sent = sum(one["sent_bytes"] for one in results["load-warm"]["workers_per_token"].values())
    assert 0.9 * value["models"][0]["size_bytes"] < sent < 1.1 * value["models"][0]["size_bytes"]
    # What workers hold isn't on a GPU of this machine.
    assert results["tg4"]["memory"]["gpu_bytes"] is None
    assert first in done.stderr and second in done.stderr


COUNT = """
import json, sys
from llamactl.engine import Context, ContextParameters, Model, rpc, rpc_traffic
rpc.connect(sys.argv[2:])
with Model(sys.argv[1]) as model, Context(model, ContextParameters(n_ctx=64, n_threads=1)) as context:
    for token in range(4):
        context.decode_token(token)
        context.logits()
import gc; gc.collect()
rows = rpc_traffic.traffic(sys.argv[2:])
print(json.dumps([[row.sent_bytes, row.received_bytes, row.round_trips] for row in rows]))
"""
PROBE_SENT, PROBE_RECEIVED, PROBE_ANSWERS = 33 + 9 + 13, 36 + 12 + 24, 3
"""Of llamactl's own three questions before the engine connects: hello, devices, memory."""


@pytest.mark.skipif(not shutil.which("strace"), reason="strace isn't installed")
def test_counts_are_what_the_workers_themselves_received_and_sent(model_file: str, tmp_path: Path) -> None:
    logs = [tmp_path / "first", tmp_path / "second"]
    with running_worker(logs[0]) as (first, _), running_worker(logs[1]) as (second, _):
        command = [sys.executable, "-c", COUNT, model_file, first, second]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    for counted, log in zip(json.loads(done.stdout), logs, strict=True):
        seen = seen_by_worker(log)
        assert counted == [
            seen.received_bytes - PROBE_SENT,
            seen.sent_bytes - PROBE_RECEIVED,
            seen.answers - PROBE_ANSWERS,
        ]


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
            [*command, "--rpc", f"{first}, {second}", "Hello"],
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


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llamactl", *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # pytest may run with SIGINT ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def generating(command: str, model: str, endpoint: str) -> subprocess.Popen[str]:
    """Start a command that computes for minutes, and return once it does."""
    shared = ("-m", model, "-t", "1", "-n", "2000", "--rpc", endpoint)
    if command == "run":
        process = start("run", *shared, "-q", "--ignore-eos", "Hello")
        assert process.stdout and process.stdout.read(1)
        return process
    process = start("bench", *shared, "-p", "0", "--progress")
    assert process.stderr
    assert any("repetition 1" in line for line in process.stderr)
    return process


def loading(command: str, model: str, endpoint: str) -> subprocess.Popen[str]:
    """Start a command that loads the model into a worker."""
    extra = ("-q", "Hello") if command == "run" else ("-q", "-p", "0")
    return start(command, "-m", model, "-t", "1", "-n", "1", "--rpc", endpoint, *extra)


@pytest.mark.parametrize("command", ["run", "bench"])
def test_a_worker_that_dies_while_computing(
    model_file: str, worker: tuple[str, subprocess.Popen[str]], command: str
) -> None:
    process = generating(command, model_file, worker[0])
    worker[1].kill()
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 125
    assert "RPC server crashed" in rest and f"The worker {worker[0]} is gone" in rest
    assert rest.count("\n") == 1


@contextlib.contextmanager
def relayed(
    target: str, *, requests: int | None = None, answers: int | None = None
) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """A way to a worker that goes silent after so many bytes, and closes when it is told to.

    Gives its address, an event that is set when it goes silent, and the one that has it close.
    """
    silent, close = threading.Event(), threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, sink: socket.socket, room: int | None) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                carried += len(data)
                if room is not None and carried >= room:
                    silent.set()
                    close.wait(60)
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                host, port = target.split(":")
                far = socket.create_connection((host, int(port)))
                threading.Thread(target=carry, args=(near, far, requests), daemon=True).start()
                threading.Thread(target=carry, args=(far, near, answers), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.getsockname()[1]}", silent, close
    finally:
        close.set()
        server.close()


@pytest.mark.parametrize("command", ["run", "bench"])
def test_a_worker_that_dies_while_loading(
    model_file: str, worker: tuple[str, subprocess.Popen[str]], command: str
) -> None:
    with relayed(worker[0], requests=8 << 20) as (endpoint, silent, close):
        process = loading(command, model_file, endpoint)
        assert silent.wait(60)
        close.set()
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 125
    assert f"The worker {endpoint} is gone" in rest and rest.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "bench"])
def test_a_worker_that_hangs_while_loading_is_left_by_ctrl_c(
    model_file: str, worker: tuple[str, subprocess.Popen[str]], command: str
) -> None:
    with relayed(worker[0], requests=8 << 20) as (endpoint, silent, _):
        process = loading(command, model_file, endpoint)
        assert silent.wait(60)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the worker {endpoint} didn't answer" in rest and rest.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "bench"])
def test_a_worker_that_hangs_while_computing_is_left_by_ctrl_c(
    model_file: str, worker: tuple[str, subprocess.Popen[str]], command: str
) -> None:
    # Some tokens' logits come back, then nothing more.
    with relayed(worker[0], answers=1 << 20) as (endpoint, silent, _):
        process = start(command, "-m", model_file, "-t", "1", "-n", "2000", "-q", "--rpc", endpoint,
                        *(("--ignore-eos", "Hello") if command == "run" else ("-p", "0")))  # fmt: skip
        assert silent.wait(60)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the worker {endpoint} didn't answer" in rest and rest.count("\n") == 1


@pytest.mark.skipif(not shutil.which("ss"), reason="ss isn't installed")
def test_a_machine_that_vanishes_is_noticed(
    model_file: str, worker: tuple[str, subprocess.Popen[str]]
) -> None:
    """Nothing tells of a machine without power but the kernel's own questions: they must be on."""
    process = generating("run", model_file, worker[0])
    listed = subprocess.run(["ss", "-tno", "dst", worker[0]], capture_output=True, text=True, check=False)
    process.kill()
    process.communicate()
    if listed.returncode:
        pytest.skip("ss can't list connections here")
    assert "timer:(keepalive" in listed.stdout or "timer:(on" in listed.stdout


@pytest.mark.parametrize(
    "text", ["", "x", "host:", ":1", "h:0", "h:99999", "h:1x", "::1:50052", "[::1]:50052"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        rpc.parse_endpoint(text)


@pytest.mark.parametrize("other", [("--against", "."), ("--processes", "2")])
def test_what_needs_a_worker_twice_is_refused(bench: Run, other: tuple[str, str]) -> None:
    done = bench("-p", "0", "-n", "1", "--rpc", "127.0.0.1:1", *other)
    assert done.returncode == 2
    assert "one client at a time" in done.stderr and done.stderr.count("\n") == 1


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
