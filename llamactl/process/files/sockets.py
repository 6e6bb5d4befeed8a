"""The sockets of a process's network namespace: both ends, state, and the number of the peer."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from llamactl.process import proc_pid
from llamactl.process.proc import ProcessDir
from llamactl.process.proc_text import proc_lines

# include/net/tcp_states.h
_TCP_STATES = (
    "", "established", "syn-sent", "syn-received", "fin-wait-1", "fin-wait-2", "time-wait", "closed",
    "close-wait", "last-ack", "listening", "closing", "new-syn-received",
)  # fmt: skip
_INET = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6")
_UNIX_LINE = re.compile(
    r"[0-9a-fA-F]+: [0-9A-F]{8} [0-9A-F]{8} (?P<flags>[0-9A-F]{8}) (?P<type>[0-9A-F]{4}) [0-9A-F]{2}"
    r" +(?P<inode>\d+)(?: (?P<path>.*))?",
    re.ASCII | re.DOTALL,
)
_UNIX_TYPES = {1: "stream", 2: "datagram", 5: "seqpacket"}

# linux/netlink.h, linux/sock_diag.h, linux/unix_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_DUMP_REQUEST = 4, 20, 0x301
_NLMSG_ERROR, _NLMSG_DONE, _UDIAG_SHOW_PEER, _UNIX_DIAG_PEER = 2, 3, 4, 2


@dataclass(frozen=True, slots=True)
class Socket:
    """One socket: ``local`` and ``remote`` as ``address:port`` or a path; ``peer`` is an inode or None.

    ``resent`` is how often the kernel sent its last segment again for want of an answer; None for what isn't
    TCP.
    """

    inode: int
    protocol: str
    local: str
    remote: str
    state: str
    peer: int | None = None
    resent: int | None = None


def read_sockets(process: ProcessDir) -> dict[int, Socket]:
    """Return the sockets of the process's network namespace by inode.

    Tables that can't be read are noted; a socket that is in no table (``AF_ALG``, vsock) is missing.
    """
    found: dict[int, Socket] = {}
    for table in _INET:
        found.update((entry.inode, entry) for entry in _inet(process, table) if entry.inode)
    peers = _unix_peers(process)
    found.update((entry.inode, entry) for entry in _unix(process, peers))
    found.update((entry.inode, entry) for entry in _netlink(process))
    return _with_loopback_peers(found)


def _lines(process: ProcessDir, table: str) -> list[str]:
    try:
        return proc_lines(process.read(f"net/{table}"))[1:]
    except FileNotFoundError:  # a protocol that this kernel doesn't have
        return []
    except OSError as error:
        process.refuse("files", error, f"sockets ({table})")
        return []


def _inet(process: ProcessDir, table: str) -> Iterator[Socket]:
    tcp = table.startswith("tcp")
    for line in _lines(process, table):
        part = line.split()
        code = int(part[3], 16)
        state = _TCP_STATES[code] if tcp and code < len(_TCP_STATES) else ""
        remote = "" if _unset(part[2]) else _address(part[2])
        resent = int(part[6], 16) if tcp else None
        yield Socket(int(part[9]), table, _address(part[1]), remote, state, None, resent)


def _unset(text: str) -> bool:
    return not text.replace(":", "").strip("0")


def _address(text: str) -> str:
    """Return ``0100007F:1F90`` as ``127.0.0.1:8080``: 32-bit words in the machine's byte order."""
    host, port = text.split(":")
    words = struct.pack(f"={len(host) // 8}I", *(int(host[i : i + 8], 16) for i in range(0, len(host), 8)))
    name = socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)
    return f"[{name}]:{int(port, 16)}" if ":" in name else f"{name}:{int(port, 16)}"


def _unix(process: ProcessDir, peers: dict[int, int]) -> Iterator[Socket]:
    for fields in unix_lines(_lines(process, "unix")):
        inode = int(fields["inode"])
        kind = _UNIX_TYPES.get(int(fields["type"], 16), "socket")
        listening = int(fields["flags"], 16) & 0x10000  # __SO_ACCEPTCON
        state = "listening" if listening else "connected" if inode in peers else ""
        yield Socket(inode, f"unix {kind}", fields["path"], "", state, peers.get(inode))


def unix_lines(lines: list[str]) -> list[dict[str, str]]:
    """Return the sockets of ``/proc/net/unix`` (proc_pid_net(5)); a name may hold anything, newlines too.

    A line that doesn't look like a socket is the rest of the name before it. One that was made to look like
    one can't be told apart.
    """
    found: list[dict[str, str]] = []
    for line in lines:
        match = _UNIX_LINE.fullmatch(line)
        if match is not None:
            found.append(match.groupdict(""))
        elif found:
            found[-1]["path"] += "\n" + line
    return found


def _netlink(process: ProcessDir) -> Iterator[Socket]:
    for line in _lines(process, "netlink"):
        part = line.split()
        yield Socket(int(part[9]), "netlink", f"port {part[2]}", "", "")


def _with_loopback_peers(found: dict[int, Socket]) -> dict[int, Socket]:
    """Join the two ends of a TCP connection inside of the machine: one's local is the other's remote."""
    ends = {(entry.local, entry.remote): entry.inode for entry in found.values() if entry.remote}
    for entry in list(found.values()):
        peer = ends.get((entry.remote, entry.local)) if entry.remote else None
        if peer is not None and peer != entry.inode:
            found[entry.inode] = replace(entry, peer=peer)
    return found


@dataclass(frozen=True, slots=True)
class DiagRequest:
    """A question about all sockets of a kind; ``body`` is the family's own struct (sock_diag(7))."""

    body: bytes


def ask_diag(request: DiagRequest) -> Iterator[bytes]:
    """Ask the kernel, which answers for our network namespace only, and yield its messages.

    Raises:
        OSError: The module isn't there, or a sandbox refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(1.0)
        kind = (_SOCK_DIAG_BY_FAMILY, _NLM_F_DUMP_REQUEST)
        link.send(struct.pack("=IHHII", 16 + len(request.body), *kind, 1, 0) + request.body)
        yield from _diag_answers(link)


def _unix_peers(process: ProcessDir) -> dict[int, int]:
    """Return which unix sockets are connected; nothing in another network namespace than ours."""
    try:
        if process.link("ns/net") != str(proc_pid.place("self", "ns/net").readlink()):
            return {}
        body = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _UDIAG_SHOW_PEER, 0, 0)
        return dict(peer for message in ask_diag(DiagRequest(body)) for peer in _diag_peer(message))
    except OSError:  # without the module unix_diag, or refused by a sandbox
        return {}


def _diag_answers(link: socket.socket) -> Iterator[bytes]:
    while True:
        data, at = link.recv(1 << 16), 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
                return
            yield data[at + 16 : at + length]
            at += (length + 3) & ~3


def _diag_peer(message: bytes) -> Iterator[tuple[int, int]]:
    (inode,) = struct.unpack_from("=I", message, 4)
    at = 16
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            return
        if kind == _UNIX_DIAG_PEER and length >= 8:
            yield inode, struct.unpack_from("=I", message, at + 4)[0]
        at += (length + 3) & ~3
