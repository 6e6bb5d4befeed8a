"""Socket constants and addresses. Sources: linux/socket.h, asm-generic/socket.h, unix(7), ip(7), ipv6(7)."""

from __future__ import annotations

import ipaddress
import struct

from llamactl.trace.decode.bits import BitSet, numbered, symbol
from llamactl.trace.decode.values import Symbol

DOMAINS = {**numbered("AF_UNSPEC AF_UNIX AF_INET"), 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET",
           29: "AF_CAN", 38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP"}  # fmt: skip
SOCKET_TYPE = BitSet(
    {0o4000: "SOCK_NONBLOCK", 0o2000000: "SOCK_CLOEXEC"}, 0xF,
    numbered("SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET SOCK_DCCP - - - SOCK_PACKET", 1),
)  # fmt: skip
MESSAGE = BitSet(
    {1: "MSG_OOB", 2: "MSG_PEEK", 4: "MSG_DONTROUTE", 8: "MSG_CTRUNC", 0x20: "MSG_TRUNC", 0x40: "MSG_DONTWAIT",
     0x80: "MSG_EOR", 0x100: "MSG_WAITALL", 0x2000: "MSG_ERRQUEUE", 0x4000: "MSG_NOSIGNAL", 0x8000: "MSG_MORE",
     0x10000: "MSG_WAITFORONE", 0x4000000: "MSG_ZEROCOPY", 0x20000000: "MSG_FASTOPEN",
     0x40000000: "MSG_CMSG_CLOEXEC"},
)  # fmt: skip
SHUT = numbered("SHUT_RD SHUT_WR SHUT_RDWR")
LEVELS = {0: "SOL_IP", 1: "SOL_SOCKET", 6: "SOL_TCP", 17: "SOL_UDP", 41: "SOL_IPV6", 270: "SOL_NETLINK"}
SOCKET_OPTIONS = numbered(
    "SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE"
    " SO_OOBINLINE SO_NO_CHECK SO_PRIORITY SO_LINGER SO_BSDCOMPAT SO_REUSEPORT SO_PASSCRED SO_PEERCRED"
    " SO_RCVLOWAT SO_SNDLOWAT SO_RCVTIMEO SO_SNDTIMEO",
    1,
)

_UNIX, _INET, _INET6 = 1, 2, 10
PROTOCOLS = {0: "IPPROTO_IP", 1: "IPPROTO_ICMP", 6: "IPPROTO_TCP", 17: "IPPROTO_UDP", 58: "IPPROTO_ICMPV6",
             132: "IPPROTO_SCTP", 255: "IPPROTO_RAW"}  # fmt: skip


def protocol(number: int, domain: int) -> Symbol | int:
    """Name a protocol; its numbers mean something in the internet's domains only."""
    return symbol(PROTOCOLS, number) if domain in {_INET, _INET6} else number


def address_text(raw: bytes) -> bytes:
    """Return a ``struct sockaddr`` as ``unix:PATH``, ``1.2.3.4:80`` or ``[::1]:80``, or hex when unknown."""
    if len(raw) < 2:
        return raw.hex().encode()
    (domain,) = struct.unpack_from("<H", raw)
    if domain == _UNIX:
        return b"unix:" + _unix_path(raw[2:])
    if domain == _INET and len(raw) >= 8:
        (port,) = struct.unpack_from(">H", raw, 2)
        return f"{ipaddress.IPv4Address(raw[4:8])}:{port}".encode()
    if domain == _INET6 and len(raw) >= 24:
        (port,) = struct.unpack_from(">H", raw, 2)
        return f"[{ipaddress.IPv6Address(raw[8:24])}]:{port}".encode()
    return f"{DOMAINS.get(domain, domain)}:{raw[2:].hex()}".encode()


def _unix_path(raw: bytes) -> bytes:
    """Return a path, or an abstract name with a leading ``@`` as ss(8) prints it."""
    if raw.startswith(b"\0"):
        return b"@" + raw[1:].rstrip(b"\0")
    return raw.split(b"\0", 1)[0]
