"""Requests that a server has read and not answered: by when each of its connections last received and last sent.

Nothing in a process shows a request that waits for its turn: no thread stands anywhere while an event loop holds it
back. The kernel knows for each TCP connection when data came and when data went (``struct tcp_info``, tcp(7), asked for
through sock_diag(7)).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from llamactl.errors import LlamactlError
from llamactl.process import proc_pid
from llamactl.process.files.holders import Holder, find_holders
from llamactl.process.files.sockets import DiagRequest, Socket, ask_diag, read_sockets
from llamactl.process.proc import ProcessDir
from llamactl.process.target_memory import TargetMemory
from llamactl.process.threads.called_with import watched
from llamactl.process.threads.waiting import READS, Wait, parse_syscall
from llamactl.snapshot.process.standing_facts import End, process_end

LEAST_S = 1.0
"""A request that came later than this isn't said to wait."""
_ESTABLISHED = 1 << 1
_INFO = 2  # INET_DIAG_INFO
_MESSAGE = struct.Struct("=4B48s5I")  # struct inet_diag_msg
# In struct tcp_info: last_data_sent and last_data_recv, ms ago; data_segs_in and data_segs_out.
_SENT_AT, _RECEIVED_AT, _SEGMENTS_AT = 44, 52, 152


@dataclass(frozen=True, slots=True)
class UnansweredRequest:
    """A connection that waits for the server.

    Its last data came from the client, or a client of this machine waits for the rest of an answer. ``seconds`` is
    for how long nothing has moved on it, ``others`` how many connections of the process are being answered meanwhile,
    ``ends`` who asked, where that is a process of this machine.
    """

    address: str
    client: str
    seconds: float
    others: int
    ends: tuple[End, ...]


@dataclass(frozen=True, slots=True)
class _Flow:
    sent_s: float
    received_s: float
    received: int
    answered: int


def unanswered_requests(process: ProcessDir) -> list[UnansweredRequest]:
    """Return the requests that a process hasn't answered, the oldest first; empty where that can't be known."""
    sockets = read_sockets(process)
    own = _own(process, sockets)
    ports = {one.local.rpartition(":")[2] for one in sockets.values() if one.state == "listening"}
    served = [one for one in own if one.state == "established" and one.local.rpartition(":")[2] in ports]
    flows = _flows(process) if served else {}
    clients = {one.inode: _client(one) for one in served}
    waiting = [
        (one, flow)
        for one in served
        if (flow := flows.get(one.inode)) and (_unread(flow) or _silent(flow, clients[one.inode]))
    ]
    busy = sum(
        1 for one in served if (flow := flows.get(one.inode)) and flow.answered and flow.sent_s < LEAST_S
    )
    found = [
        UnansweredRequest(
            one.local, one.remote, min(flow.received_s, flow.sent_s), busy,
            tuple(process_end(holder.pid, holder.fd) for holder in clients[one.inode]),
        )
        for one, flow in waiting
    ]  # fmt: skip
    return sorted(found, key=lambda request: -request.seconds)


def _own(process: ProcessDir, sockets: dict[int, Socket]) -> list[Socket]:
    inodes = set()
    for number in process.list("fd"):
        try:
            target = process.link(f"fd/{number}")
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return [one for inode, one in sockets.items() if inode in inodes and one.protocol.startswith("tcp")]


def _unread(flow: _Flow) -> bool:
    """Tell whether data came and none went after it."""
    late = not flow.answered or flow.received_s < flow.sent_s
    return flow.received > 0 and flow.received_s >= LEAST_S and late


def _silent(flow: _Flow, clients: list[Holder]) -> bool:
    """Tell whether a client of this machine waits for the rest of an answer that has begun, such as its head."""
    return min(flow.received_s, flow.sent_s) >= LEAST_S and any(_reads(one.pid, one.fd) for one in clients)


def _reads(pid: int, fd: int) -> bool:
    """Tell whether a thread of a process waits for something to read from a descriptor."""
    try:
        with ProcessDir.open(pid) as process:
            memory = TargetMemory(process)
            try:
                waits = (parse_syscall(process.text(f"task/{task}/syscall")) for task in process.list("task"))
                return any(wait is not None and _is_read(wait, memory, fd) for wait in waits)
            finally:
                memory.close()
    except (OSError, LlamactlError):  # it has ended, or may not be looked at
        return False


def _is_read(wait: Wait, memory: TargetMemory, fd: int) -> bool:
    return (wait.call in READS and wait.descriptor == fd) or (fd, False) in watched(wait, memory)


def _client(own: Socket) -> list[Holder]:
    target = f"socket:[{own.peer}]"
    return find_holders([target]).get(target, []) if own.peer else []


def _flows(process: ProcessDir) -> dict[int, _Flow]:
    """Return when data moved last, by the sockets' inodes; for our own network namespace only."""
    found: dict[int, _Flow] = {}
    try:
        if process.link("ns/net") != str(proc_pid.place("self", "ns/net").readlink()):
            return {}
        for family in (socket.AF_INET, socket.AF_INET6):
            body = struct.pack(
                "=BBBBI48s", family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, _ESTABLISHED, b""
            )
            found.update(_told(ask_diag(DiagRequest(body))))
    except (OSError, ValueError):  # without the module tcp_diag, or refused by a sandbox
        return found
    return found


def _told(messages: Iterator[bytes]) -> Iterator[tuple[int, _Flow]]:
    for message in messages:
        if len(message) < _MESSAGE.size:
            continue
        inode = _MESSAGE.unpack_from(message)[-1]
        info = _attribute(message, _MESSAGE.size, _INFO)
        if len(info) >= _SEGMENTS_AT + 8:
            (sent,) = struct.unpack_from("=I", info, _SENT_AT)
            (received,) = struct.unpack_from("=I", info, _RECEIVED_AT)
            segments = struct.unpack_from("=2I", info, _SEGMENTS_AT)
            yield inode, _Flow(sent / 1000, received / 1000, *segments)


def _attribute(message: bytes, at: int, wanted: int) -> bytes:
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            break
        if kind == wanted:
            return message[at + 4 : at + length]
        at += (length + 3) & ~3
    return b""
