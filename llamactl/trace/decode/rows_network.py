"""Calls on sockets, one row each. Source: section 2 of the manual."""

from __future__ import annotations

from llamactl.trace.decode.families import Family
from llamactl.trace.decode.row import Row

_NET = Family.NETWORK

NETWORK = (
    Row("socket", _NET, "domain:domain type:socket_type protocol:protocol", result="newfd"),
    Row("socketpair", _NET, "domain:domain type:socket_type protocol:protocol sv:fd_pair"),
    Row("bind", _NET, "sockfd:fd addr:address addrlen:uint"),
    Row("connect", _NET, "sockfd:fd addr:address addrlen:uint"),
    Row("listen", _NET, "sockfd:fd backlog:int"),
    Row("accept", _NET, "sockfd:fd addr:address addrlen:pointer", result="newfd"),
    Row("accept4", _NET, "sockfd:fd addr:address addrlen:pointer flags:accept", result="newfd"),
    Row("getsockname", _NET, "sockfd:fd addr:address addrlen:pointer"),
    Row("getpeername", _NET, "sockfd:fd addr:address addrlen:pointer"),
    Row(
        "sendto",
        _NET,
        "sockfd:fd buf:pointer len:size flags:message dest_addr:address addrlen:uint",
        moves="out",
    ),
    Row(
        "recvfrom",
        _NET,
        "sockfd:fd buf:pointer len:size flags:message src_addr:address addrlen:pointer",
        moves="in",
    ),
    Row("sendmsg", _NET, "sockfd:fd msg:pointer flags:message", moves="out"),
    Row("recvmsg", _NET, "sockfd:fd msg:pointer flags:message", moves="in"),
    Row("sendmmsg", _NET, "sockfd:fd msgvec:pointer vlen:uint flags:message"),
    Row("recvmmsg", _NET, "sockfd:fd msgvec:pointer vlen:uint flags:message timeout:pointer"),
    Row("shutdown", _NET, "sockfd:fd how:shut"),
    Row("setsockopt", _NET, "sockfd:fd level:level optname:socket_option optval:int_pointer optlen:uint"),
    Row("getsockopt", _NET, "sockfd:fd level:level optname:socket_option optval:pointer optlen:pointer"),
)
