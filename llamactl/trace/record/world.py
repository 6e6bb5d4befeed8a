"""What a program inherits from whoever started llamactl: kept before we change it, and given to the program.

Python ignores SIGPIPE and SIGXFSZ from its start on and doesn't tell how they were. The parent tells: an ignored
signal is inherited (execve(2)), so what a parent doesn't ignore wasn't ignored for us. A Python as parent says
nothing: it ignores both itself, and its ``subprocess`` gives its children the defaults. Two cases are told
wrongly: a parent that changed its own mind after it had started us, and a program between them that has gone
(``env --ignore-signal=PIPE llamactl``).
"""

from __future__ import annotations

import os
import resource
import signal
import threading

from llamactl.process import proc_pid
from llamactl.trace.record.syscalls.native import lib

PYTHONS = (signal.SIGPIPE, signal.SIGXFSZ)


class World:
    """While a recording runs: more files for llamactl, and what it was started with for the program."""

    def __init__(self) -> None:
        self._files: tuple[int, int] | None = None
        self._child: object = None

    def __enter__(self) -> None:
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        parent = str(os.getppid())
        ignored = inherited_ignored(_ignored("self") or 0, None if _is_python(parent) else _ignored(parent))
        # With the numbers that the kernel knows: RLIM_INFINITY is -1 in Python.
        lib.launch_world(ignored, *(value & (1 << 64) - 1 for value in self._files))
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            # Else the kernel would throw away how the program ended (wait(2)).
            self._child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def __exit__(self, *exception: object) -> None:
        if self._files is not None and resource.getrlimit(resource.RLIMIT_NOFILE) != self._files:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
        if self._child is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def inherited_ignored(own: int, parent: int | None) -> int:
    """Return the signals that were ignored when llamactl was started, a bit for each (``1 << (number - 1)``).

    Args:
        own: Those that are ignored now, Python's among them.
        parent: Those that the parent ignores; None when that says nothing.
    """
    of_python = sum(1 << (number - 1) for number in PYTHONS)
    return own & ~(of_python & ~(parent or 0))


def _is_python(pid: str) -> bool:
    try:
        return "python" in proc_pid.place(pid, "exe").readlink().name
    except OSError:
        return False


def _ignored(pid: str) -> int | None:
    try:
        return int(proc_pid.status_of(pid)["SigIgn"], 16)
    except (KeyError, ValueError):
        return None


def allow_many_files() -> None:
    """Some events for each thread on each CPU: take what the hard limit allows. The program keeps its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
