"""Who reads what is written to a pseudo-terminal: the holder of its other side (pty(7))."""

from __future__ import annotations

from llamactl.process import proc_pid
from llamactl.process.files.holders import Holder, find_holders

_SLAVES = "/dev/pts/"
_MASTERS = ("/dev/ptmx", "/dev/pts/ptmx")


def terminal_readers(path: str) -> list[Holder]:
    """Return the descriptors of the terminal's other side (``tty-index`` in proc_pid_fdinfo(5))."""
    index = path.removeprefix(_SLAVES)
    if not path.startswith(_SLAVES) or not index.isdigit():
        return []
    mark = f"tty-index:\t{index}\n".encode()
    return [
        holder
        for holders in find_holders(_MASTERS).values()
        for holder in holders
        if mark in proc_pid.read_or_nothing(holder.pid, f"fdinfo/{holder.fd}")
    ]
