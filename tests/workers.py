"""Workers on the loopback, as processes of their own, and what strace saw of one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALL = re.compile(r"(sendto|recvfrom)(?:\(| resumed>).*\)\s+= (\d+)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def running_worker(log: Path | None = None) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a worker; ``log`` is where strace writes what it sends and receives. Gives its address."""
    endpoint = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "llamactl", "worker", endpoint, "-t", "1"]
    if log is not None:
        command = [
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=sendto,recvfrom",
            "-e",
            "signal=none",
            "-o",
            str(log),
            *command,
        ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
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
        if log is not None:
            # strace ends by itself when the worker has ended.
            os.kill(
                int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]),
                signal.SIGKILL,
            )
        else:
            process.kill()
        process.wait()


@dataclass(frozen=True)
class Seen:
    """What a worker itself received and sent, as its system calls returned."""

    received_bytes: int
    sent_bytes: int
    answers: int


def seen_by_worker(log: Path) -> Seen:
    """Read what strace wrote of a worker."""
    received = sent = answers = 0
    answering = False
    for line in log.read_text(encoding="utf-8").splitlines():
        match = CALL.search(line)
        if not match:
            continue
        if match[1] == "recvfrom":
            received += int(match[2])
        else:
            sent += int(match[2])
            answers += not answering
        answering = match[1] == "sendto"
    return Seen(received, sent, answers)
