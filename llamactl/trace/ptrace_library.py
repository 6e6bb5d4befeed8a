"""python-ptrace, in one place: no other module imports it, because it is under the GPL and we are not."""

from __future__ import annotations

from ptrace import PtraceError
from ptrace.binding import ptrace_detach, ptrace_geteventmsg, ptrace_getsiginfo
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
    "ptrace_detach",
    "ptrace_geteventmsg",
    "ptrace_getsiginfo",
]

ARCHITECTURES: dict[str, dict[int, str]] = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""Names of system calls by number."""

PROTOTYPES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = _PROTOTYPES
"""By name: the result's C type, and pairs of C type and argument name."""
