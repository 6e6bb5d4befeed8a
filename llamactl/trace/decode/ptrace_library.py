"""python-ptrace, in one place: no other module imports it, because it is under the GPL and we are not."""

from __future__ import annotations

from ptrace import PtraceError
from ptrace.binding import ptrace_cont, ptrace_detach, ptrace_geteventmsg, ptrace_getsiginfo, ptrace_syscall
from ptrace.binding.func import ptrace as _request
from ptrace.debugger import PtraceDebugger, PtraceProcess
from ptrace.syscall.linux.aarch64 import SYSCALL_NAMES as _AARCH64
from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES as _X86_64
from ptrace.syscall.prototypes import SYSCALL_PROTOTYPES as _PROTOTYPES
from ptrace.syscall.ptrace_syscall import RETURN_VALUE_REGISTER, SYSCALL_REGISTER, PtraceSyscall

__all__ = [
    "ARCHITECTURES",
    "PROTOTYPES",
    "RETURN_VALUE_REGISTER",
    "SYSCALL_REGISTER",
    "PtraceDebugger",
    "PtraceError",
    "PtraceProcess",
    "PtraceSyscall",
    "ptrace_cont",
    "ptrace_detach",
    "ptrace_geteventmsg",
    "ptrace_getsiginfo",
    "ptrace_interrupt",
    "ptrace_listen",
    "ptrace_seize",
    "ptrace_syscall",
]

_SEIZE, _INTERRUPT, _LISTEN = 0x4206, 0x4207, 0x4208
"""Of linux/ptrace.h; python-ptrace attaches with PTRACE_ATTACH alone."""

ARCHITECTURES: dict[str, dict[int, str]] = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""Names of system calls by number."""

PROTOTYPES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = _PROTOTYPES
"""By name: the result's C type, and pairs of C type and argument name."""


def ptrace_seize(tid: int, options: int) -> None:
    """Trace a thread without stopping it (ptrace(2)). Raises PtraceError."""
    _request(_SEIZE, tid, 0, options)


def ptrace_interrupt(tid: int) -> None:
    """Have a seized thread stop soon, with an event of its own and no signal. Raises PtraceError."""
    _request(_INTERRUPT, tid)


def ptrace_listen(tid: int) -> None:
    """Leave a thread in the stop of its group, but hear of its end. Raises PtraceError."""
    _request(_LISTEN, tid)
