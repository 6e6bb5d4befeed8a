"""What goes to workers and comes from them: counted at the engine's own calls of connect, send and recv."""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from llamactl.engine.native import ffi, lib, text
from llamactl.process import proc_pid

MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class WorkerTraffic:
    """The traffic of one worker since it was connected to, over all connections.

    Attributes:
        endpoint: ``host:port`` as it was asked for.
        sent_bytes: To the worker.
        received_bytes: From the worker.
        round_trips: How often an answer was awaited after something was sent.
        waited_ns: Waiting for answers and receiving them.
    """

    endpoint: str
    sent_bytes: int
    received_bytes: int
    round_trips: int
    waited_ns: int


def watch(function: Any) -> None:
    """Count the traffic of connections made from now on.

    Args:
        function: Any function of the engine's RPC; its library's imports are redirected.
    """
    lib.llamactl_rpc_watch(ffi.cast("void *", function))


def refusal() -> str:
    """Return why traffic isn't counted; empty where it is."""
    if not lib.llamactl_rpc_watching():
        return "the engine's RPC doesn't call send and recv through its imports"
    return "RDMA is loaded: what it moves passes no socket" if _has_rdma() else ""


def traffic(endpoints: Collection[str]) -> tuple[WorkerTraffic, ...] | None:
    """Return the traffic of workers in the order of ``endpoints``; ``None`` where it isn't counted."""
    if not endpoints or refusal():
        return None
    rows = ffi.new("struct llamactl_worker_traffic[]", MOST_WORKERS)
    count = min(lib.llamactl_rpc_traffic(rows, MOST_WORKERS), MOST_WORKERS)
    by_address = {text(row.address): row for row in rows[0:count]}
    found = [(endpoint, by_address.get(_address(endpoint))) for endpoint in endpoints]
    return tuple(
        WorkerTraffic(endpoint, row.sent_bytes, row.received_bytes, row.round_trips, row.waited_ns)
        if row is not None
        else WorkerTraffic(endpoint, 0, 0, 0, 0)
        for endpoint, row in found
    )


def _address(endpoint: str) -> str:
    host, _, port = endpoint.rpartition(":")
    with suppress(OSError):
        host = socket.gethostbyname(host)
    return f"{host}:{int(port)}"


@cache
def _has_rdma() -> bool:
    return b"libibverbs" in proc_pid.read_or_nothing("self", "maps")
